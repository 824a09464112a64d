/* Does an epoll instance become readable in another, and what do dup and close of a watched file do? */
#include "say.h"
#include <poll.h>
#include <sys/epoll.h>

static void ctl(int ep, int op, int fd, unsigned events)
{
    struct epoll_event event = {events, {.fd = fd}};
    if (epoll_ctl(ep, op, fd, &event))
        say("ctl %d: errno %d\n", op, errno);
}

static void show(const char *when, int ep)
{
    struct epoll_event got[4];
    int n = epoll_wait(ep, got, 4, 0);
    say("%s: %d %x\n", when, n, n > 0 ? got[0].events : 0);
}

int main(void)
{
    int inner = epoll_create1(0), outer = epoll_create1(0), ends[2];
    pipe(ends);
    ctl(inner, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN | EPOLLET);
    show("quiet", outer);
    write(ends[1], "x", 1);
    show("outer", outer);
    show("outer again", outer);
    show("inner", inner);
    struct pollfd set = {inner, POLLIN | POLLOUT, 0};
    say("poll: %d %x\n", poll(&set, 1, 0), set.revents);
    char byte;
    read(ends[0], &byte, 1);
    say("poll: %d\n", poll(&set, 1, 0));
    write(ends[1], "y", 1);
    show("another edge", outer);

    int twin = dup(ends[0]);
    close(ends[0]);
    show("the file lives on in its twin", inner);
    ctl(inner, EPOLL_CTL_DEL, ends[0], 0);
    ctl(inner, EPOLL_CTL_ADD, twin, EPOLLIN);
    show("the twin", inner);
    close(twin);
    show("gone", inner);

    int child = fork(); /* the instance is shared, so what a child adds the parent sees */
    if (child == 0) {
        int more[2];
        pipe(more);
        write(more[1], "z", 1);
        ctl(outer, EPOLL_CTL_ADD, more[0], EPOLLIN);
        show("child", outer);
        _exit(0);
    }
    wait_and_say("child", child);
    show("what it added ended with it", outer);
    return 0;
}
