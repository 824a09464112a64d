/* What the programs here share: unbuffered output, and a child's end in words. No pids, no addresses: every line
 * must be the same natively and in the lab. */
#ifndef SAY_H
#define SAY_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define say(...) dprintf(1, __VA_ARGS__)

/* Prints the result of a call: the value, or the errno (numbers: both C libraries word them differently). */
#define try(call)                                                                                                      \
    do {                                                                                                               \
        long result_ = (long)(call);                                                                                   \
        if (result_ == -1)                                                                                             \
            say("%s: errno %d\n", #call, errno);                                                                       \
        else                                                                                                           \
            say("%s: %ld\n", #call, result_);                                                                          \
    } while (0)

static inline void say_status(const char *who, int status)
{
    if (WIFEXITED(status))
        say("%s: exit %d\n", who, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        say("%s: killed by %d\n", who, WTERMSIG(status));
    else if (WIFSTOPPED(status))
        say("%s: stopped by %d\n", who, WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        say("%s: continued\n", who);
}

static inline int wait_and_say(const char *who, pid_t pid)
{
    int status = 0;
    pid_t found = waitpid(pid, &status, 0);
    if (found != pid)
        say("%s: waitpid failed, errno %d\n", who, errno);
    else
        say_status(who, status);
    return status;
}

static inline void on(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigemptyset(&action.sa_mask);
    if (sigaction(signo, &action, 0))
        abort();
}

static inline void rest(long milliseconds)
{
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&pause, &pause) && errno == EINTR)
        ;
}

/* Returns when a child waits in a system call, however busy the host is. */
static inline void until_it_waits(pid_t pid)
{
    char path[32], text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int seen = 0; seen < 3;) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        text[n > 0 ? n : 0] = 0;
        char *end = strrchr(text, ')');
        seen = end && end[2] == 'S' ? seen + 1 : 0;
        rest(1);
    }
}

#endif
