/* Signals: queued ones until the queue is full, then more processes with full queues, then signals without end. */
#include "bomb.h"

static volatile sig_atomic_t taken;

static void take(int signo)
{
    (void)signo;
    taken++;
}

int main(void)
{
    sigset_t all;
    struct rlimit few = {400, 400}; /* 4,096 would do as well, but take minutes */
    int count = 0;
    setrlimit(RLIMIT_SIGPENDING, &few);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    while (!sigqueue(getpid(), SIGRTMIN + count % 20, (union sigval){count}))
        count++;
    say("queue: %s, some %d\n", name_of(errno), count > 50);
    for (int i = 0; i < 2000; i++)
        kill(getpid(), SIGUSR1); /* never queued twice */
    int children = 0;
    while (children < 8 && fork())
        children++;
    if (children < 8) { /* the queue is per user: nothing is left */
        while (!sigqueue(getpid(), SIGRTMIN, (union sigval){0}))
            ;
        _exit(0);
    }
    while (wait(0) > 0)
        ;
    signal(SIGUSR1, take);
    for (int i = 0; i < 20; i++)
        signal(SIGRTMIN + i, take);
    sigprocmask(SIG_UNBLOCK, &all, 0);
    say("taken: %d\n", taken == count + 1);
    pid_t pid = fork();
    if (!pid)
        for (;;)
            kill(getppid(), SIGUSR1);
    while (taken < count + 10)
        ;
    kill(pid, SIGKILL);
    ended("sender", pid);
    return 0;
}
