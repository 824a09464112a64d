/* Do pidfds stand for their process: poll, waitid, signals, descriptors, clone, and after it is gone? */
#include "say.h"
#include <poll.h>
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    say("child got %d code %d\n", signo, info->si_code);
    _exit(9);
}

static int ready(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    poll(&p, 1, 0);
    return p.revents;
}

static long send(int fd, int signo, void *info, int flags)
{
    return syscall(SYS_pidfd_send_signal, fd, signo, info, flags);
}

int main(void)
{
    int gate[2], back[2], status;
    char byte;
    siginfo_t info;
    pipe(gate);
    pipe(back);
    pid_t child = fork();
    if (child == 0) {
        on(SIGUSR1, handler, 0);
        write(back[1], "r", 1);
        for (;;)
            pause();
    }
    read(back[0], &byte, 1);
    int fd = syscall(SYS_pidfd_open, child, 0), patient = syscall(SYS_pidfd_open, child, O_NONBLOCK);
    say("open %d, close on exec %d\n", fd >= 0, fcntl(fd, F_GETFD));
    try(syscall(SYS_pidfd_open, 0, 0));
    try(syscall(SYS_pidfd_open, -1, 0));
    try(syscall(SYS_pidfd_open, 0x3ffffff, 0));
    try(syscall(SYS_pidfd_open, child, 1));
    say("ready %d\n", ready(fd));
    try(read(fd, &byte, 1));
    try(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
    try(waitid(P_PIDFD, patient, &info, WEXITED));
    try(send(fd, 0, 0, 0));
    try(send(fd, 65, 0, 0));
    try(send(fd, 0, 0, 8));
    try(send(gate[0], 0, 0, 0));
    try(send(99, 0, 0, 0));
    memset(&info, 0, sizeof info);
    info.si_signo = SIGUSR1;
    info.si_code = SI_USER;
    try(send(fd, SIGUSR1, &info, 0)); /* pretending */
    info.si_code = SI_QUEUE;
    try(send(fd, SIGUSR2, &info, 0)); /* another signal inside */
    int copy = syscall(SYS_pidfd_getfd, fd, gate[1], 0);
    say("its descriptor %d\n", copy >= 0);
    write(copy, "x", 1);
    try(read(gate[0], &byte, 1));
    try(syscall(SYS_pidfd_getfd, fd, 99, 0));
    try(syscall(SYS_pidfd_getfd, fd, 0, 1));
    send(fd, SIGUSR1, &info, 0);
    struct pollfd waits = {fd, POLLIN, 0};
    try(poll(&waits, 1, -1));
    say("ready %d\n", waits.revents);
    try(send(fd, 0, 0, 0)); /* a zombie still */
    try(waitid(P_PIDFD, patient, &info, WEXITED));
    say("code %d status %d\n", info.si_code, info.si_status);
    say("ready %d\n", ready(fd));
    try(send(fd, 0, 0, 0));
    try(syscall(SYS_pidfd_getfd, fd, 0, 0));
    try(waitid(P_PIDFD, fd, &info, WEXITED));
    int made = -1;
    child = syscall(SYS_clone, 0x1000 | SIGCHLD, 0, &made, 0, 0); /* CLONE_PIDFD */
    if (child == 0)
        _exit(fcntl(made, F_GETFD) == -1 ? 5 : 6); /* where is it said, and it is not open here */
    say("made %d\n", made >= 0);
    waitid(P_PIDFD, made, &info, WEXITED);
    say("code %d status %d\n", info.si_code, info.si_status);
    try(syscall(SYS_clone, 0x1000 | 0x100000 | SIGCHLD, 0, &made, 0, 0));
    (void)status;
    return 0;
}
