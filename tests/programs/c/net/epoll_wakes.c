/* Who wakes from epoll_wait: by a write of another process, a signal, a timeout, a masked signal in epoll_pwait? */
#include "say.h"
#include <sys/epoll.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    say("signal %d\n", signo);
}

int main(void)
{
    int ep = epoll_create1(0), ends[2];
    struct epoll_event event = {EPOLLIN, {.u32 = 7}}, got[2];
    pipe(ends);
    epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event);
    try(epoll_wait(ep, got, 2, 10));
    pid_t child = fork();
    if (child == 0) {
        rest(10);
        write(ends[1], "x", 1);
        _exit(0);
    }
    try(epoll_wait(ep, got, 2, -1));
    say("%x %u\n", got[0].events, got[0].data.u32);
    wait_and_say("child", child);
    char byte;
    read(ends[0], &byte, 1);

    on(SIGUSR1, handler, SA_RESTART);
    child = fork();
    if (child == 0) {
        rest(20);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    try(epoll_wait(ep, got, 2, -1));
    wait_and_say("child", child);

    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, 0);
    raise(SIGUSR1);
    try(epoll_wait(ep, got, 2, 5));
    try(epoll_pwait(ep, got, 2, 0, &none));
    try(epoll_pwait(ep, got, 2, -1 + 1, &none));
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    say("blocked again %d\n", sigismember(&now, SIGUSR1));
    try(syscall(SYS_epoll_pwait, ep, got, 2, 0, &none, 4));
    struct timespec brief = {0, 1000000}, bad = {0, 1000000000};
    try(syscall(441, ep, got, 2, &brief, 0, 8));
    try(syscall(441, ep, got, 2, &bad, 0, 8));
    return 0;
}
