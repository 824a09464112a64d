/* Which mistakes does epoll_ctl refuse, and how: twice, unknown, regular files, circles, chains, exclusive? */
#include "say.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

int main(void)
{
    struct epoll_event in = {EPOLLIN, {0}}, exclusive = {EPOLLIN | EPOLLEXCLUSIVE, {0}};
    struct epoll_event once = {EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, {0}}, got[2];
    int e = eventfd(0, 0), ep = epoll_create1(EPOLL_CLOEXEC), other = epoll_create(1);
    int file = open("/proc/self/exe", O_RDONLY), directory = open("/", O_RDONLY), null = open("/dev/null", O_RDWR);
    try(epoll_create(0));
    try(epoll_create1(1));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, e, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, e, &in));
    try(epoll_ctl(ep, EPOLL_CTL_MOD, other, &in));
    try(epoll_ctl(ep, EPOLL_CTL_DEL, other, 0));
    try(epoll_ctl(ep, 9, e, &in));
    try(epoll_ctl(99, EPOLL_CTL_ADD, e, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, 99, &in));
    try(epoll_ctl(e, EPOLL_CTL_ADD, ep, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, file, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, directory, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, null, &in));
    try(epoll_ctl(ep, EPOLL_CTL_MOD, e, (void *)8));
    try(epoll_ctl(ep, EPOLL_CTL_MOD, e, &exclusive));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, other, &exclusive));
    int twin = dup(e);
    try(epoll_ctl(ep, EPOLL_CTL_ADD, twin, &once));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, twin, &exclusive));
    try(epoll_ctl(ep, EPOLL_CTL_MOD, twin, &in));
    try(epoll_ctl(ep, EPOLL_CTL_ADD, other, &in));
    try(epoll_ctl(other, EPOLL_CTL_ADD, ep, &in));
    try(epoll_wait(ep, got, 0, 0));
    try(epoll_wait(ep, got, -1, 0));
    try(epoll_wait(e, got, 1, 0));
    try(epoll_wait(99, got, 1, 0));
    unsigned long long one = 1;
    write(e, &one, 8);
    try(epoll_wait(ep, (void *)8, 1, 0));
    try(epoll_wait(ep, got, 2, 0));
    int below = epoll_create1(0), fails = 0;
    for (int i = 0; i < 10 && !fails; i++) {
        int above = epoll_create1(0);
        fails = epoll_ctl(above, EPOLL_CTL_ADD, below, &in) ? errno : 0;
        below = above;
    }
    say("a long chain: errno %d\n", fails);
    return 0;
}
