/* What does epoll report level-triggered, edge-triggered and one-shot, and in which order? */
#include "say.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep;

static void show(const char *when)
{
    struct epoll_event got[8];
    int n = epoll_wait(ep, got, 8, 0);
    say("%s: %d", when, n);
    for (int i = 0; i < n; i++)
        say(" %x/%llu", got[i].events, (unsigned long long)got[i].data.u64);
    say("\n");
}

static void ctl(int op, int fd, unsigned events, unsigned long data)
{
    struct epoll_event event = {events, {.u64 = data}};
    if (epoll_ctl(ep, op, fd, &event))
        say("ctl %d: errno %d\n", op, errno);
}

int main(void)
{
    int a[2], b[2], e = eventfd(0, EFD_NONBLOCK);
    char text[100];
    unsigned long long count = 1;
    ep = epoll_create1(0);
    pipe2(a, O_NONBLOCK);
    pipe2(b, O_NONBLOCK);
    ctl(EPOLL_CTL_ADD, a[0], EPOLLIN, 1);
    ctl(EPOLL_CTL_ADD, b[0], EPOLLIN | EPOLLET, 2);
    ctl(EPOLL_CTL_ADD, e, EPOLLIN | EPOLLONESHOT, 3);
    show("nothing");
    write(b[1], "bb", 2);
    write(a[1], "aa", 2);
    write(e, &count, 8);
    show("all three");
    show("only the level");
    write(b[1], "b", 1);
    show("another edge");
    read(b[0], text, 1);
    show("reading is no edge");
    write(e, &count, 8);
    show("one-shot is spent");
    ctl(EPOLL_CTL_MOD, e, EPOLLIN | EPOLLONESHOT, 4);
    show("armed again");
    ctl(EPOLL_CTL_MOD, b[0], EPOLLIN | EPOLLET, 5);
    show("changing is an edge");
    read(a[0], text, 100);
    show("empty");
    ctl(EPOLL_CTL_ADD, a[1], EPOLLOUT, 6);
    show("writable");
    close(b[1]);
    show("hang-up");
    close(b[0]);
    ctl(EPOLL_CTL_MOD, e, EPOLLIN | EPOLLOUT, 7);
    show("closed is forgotten");
    ctl(EPOLL_CTL_DEL, a[1], 0, 0);
    show("deleted");
    ctl(EPOLL_CTL_MOD, e, 0, 8);
    show("nothing asked");
    return 0;
}
