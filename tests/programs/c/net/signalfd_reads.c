/* What does a signalfd deliver: order, one or several, sender, child, only what is blocked, a changed mask? */
#include "say.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static pid_t self;

static void take(int fd)
{
    struct signalfd_siginfo info[4];
    ssize_t n = read(fd, info, sizeof info);
    if (n < 0) {
        say("errno %d\n", errno);
        return;
    }
    for (int i = 0; i < n / (int)sizeof info[0]; i++)
        say("signal %u code %d from %s int %d status %d\n", info[i].ssi_signo, info[i].ssi_code,
            (pid_t)info[i].ssi_pid == self ? "self" : "another", info[i].ssi_int, info[i].ssi_status);
}

int main(void)
{
    sigset_t mask, fewer;
    self = getpid();
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &mask, 0);
    int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    take(fd);
    kill(self, SIGUSR2);
    kill(self, SIGUSR1);
    kill(self, SIGUSR1);
    struct pollfd set = {fd, POLLIN, 0};
    say("poll %d %x\n", poll(&set, 1, 0), set.revents);
    take(fd);
    union sigval value = {.sival_int = 42};
    sigqueue(self, SIGRTMIN + 2, value);
    value.sival_int = 43;
    sigqueue(self, SIGRTMIN + 2, value);
    take(fd);
    take(fd);

    int ep = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 5}}, got;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
    pid_t child = fork();
    if (child == 0) {
        rest(5);
        _exit(7);
    }
    say("epoll %d\n", epoll_wait(ep, &got, 1, -1));
    take(fd);
    wait_and_say("child", child);

    sigemptyset(&fewer);
    sigaddset(&fewer, SIGUSR2);
    say("same fd %d\n", signalfd(fd, &fewer, 0) == fd);
    kill(self, SIGUSR1);
    take(fd);
    fcntl(fd, F_SETFL, 0);
    child = fork(); /* a child reads its own signals */
    if (child == 0) {
        self = getpid();
        kill(self, SIGUSR2);
        take(fd);
        _exit(0);
    }
    wait_and_say("child", child);
    char small[64];
    try(read(fd, small, sizeof small));
    try(signalfd(0, &mask, 0));
    try(signalfd(-1, &mask, 1));
    try(syscall(SYS_signalfd4, -1, &mask, 4, 0));
    try(syscall(SYS_signalfd4, -1, 8, 8, 0));
    return 0;
}
