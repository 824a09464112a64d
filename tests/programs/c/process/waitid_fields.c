/* What does waitid(2) fill in, leave alone and refuse, and does WNOWAIT leave everything for later? */
#include "say.h"
#include <sys/resource.h>

static void show(const char *when, siginfo_t *info, pid_t child)
{
    say("%s: signo %d errno %d code %d child %d uid %d status %d\n", when, info->si_signo, info->si_errno, info->si_code,
        info->si_pid == child, info->si_uid == getuid(), info->si_status);
}

static long raw(int kind, long id, siginfo_t *info, int options, struct rusage *usage)
{
    return syscall(SYS_waitid, kind, id, info, options, usage);
}

int main(void)
{
    siginfo_t info;
    struct rusage usage;
    int status, ends[2];
    char byte;
    pipe(ends);
    try(raw(P_ALL, 0, &info, WEXITED, 0));
    pid_t child = fork();
    if (child == 0)
        for (;;) {
            *(volatile int *)&status = 1; /* a page of its own */
            write(ends[1], "r", 1);
            pause();
        }
    read(ends[0], &byte, 1);
    memset(&info, 0x55, sizeof info);
    try(raw(P_PID, child, &info, WEXITED | WNOHANG, 0));
    say("nothing yet: signo %d pid %d, untouched behind: %d\n", info.si_signo, info.si_pid,
        ((unsigned char *)&info)[12] == 0x55 && ((unsigned char *)&info)[28] == 0x55);
    kill(child, SIGSTOP);
    try(raw(P_PID, child, &info, WSTOPPED | WNOWAIT, 0));
    show("stopped", &info, child);
    try(raw(P_PGID, 0, &info, WSTOPPED, 0));
    show("stopped", &info, child);
    try(raw(P_PID, child, &info, WSTOPPED | WNOHANG, 0));
    show("told already", &info, child);
    kill(child, SIGCONT);
    try(raw(P_ALL, 77, &info, WCONTINUED | WNOWAIT, 0));
    try(raw(P_ALL, 0, &info, WCONTINUED, 0));
    show("continued", &info, child);
    kill(child, SIGTERM);
    try(raw(P_PID, child, &info, WEXITED | WNOWAIT, 0));
    show("killed", &info, child);
    try(raw(P_PID, child, 0, WEXITED | WNOWAIT, 0));
    memset(&usage, 0x55, sizeof usage);
    try(raw(P_PID, child, &info, WEXITED, &usage));
    say("usage filled in: %d\n", usage.ru_minflt > 0 && usage.ru_minflt < 100000);
    try(raw(P_PID, child, &info, WEXITED, 0));
    try(raw(9, child, &info, WEXITED, 0));
    try(raw(P_PID, 0, &info, WEXITED, 0));
    try(raw(P_PID, -5, &info, WEXITED, 0));
    try(raw(P_PGID, -5, &info, WEXITED, 0));
    try(raw(P_ALL, 0, &info, 0, 0));
    try(raw(P_ALL, 0, &info, WNOHANG, 0));
    try(raw(P_ALL, 0, &info, WEXITED | 0x100, 0));
    try(raw(P_PIDFD, 99, &info, WEXITED, 0));
    try(raw(P_PIDFD, -1, &info, WEXITED, 0));
    try(wait4(-1, &status, 0x100, 0));
    try(wait4(-0x7fffffff - 1, &status, 0, 0));
    child = fork();
    if (child == 0)
        _exit(0x1234);
    try(raw(P_PID, child, (void *)8, WEXITED, 0)); /* taken, though it cannot be told */
    try(wait4(child, &status, 0, 0));
    child = fork();
    if (child == 0)
        _exit(0x1234);
    try(syscall(SYS_wait4, child, 8, 0, 0));
    try(wait4(child, &status, 0, 0));
    return 0;
}
