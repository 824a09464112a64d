/* Gets signals in the middle of system calls, from itself, blocked, and at last one that kills it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int hits[65];

static void handler(int signo, siginfo_t *info, void *context)
{
    hits[signo] += info->si_signo == signo;
    (void)context;
}

int add(int a, int b)
{
    return a + b;
}

void faulty(int value)
{
    *(volatile int *)8 = value;
}

static void alarm_soon(void)
{
    struct itimerval once = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &once, NULL);
}

int main(void)
{
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    struct timespec moment = {0, 1000000000 / 3};
    int pipes[2], got, slept = 7;
    char byte;
    sigset_t set;

    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    for (int i = 0; i < 4; i++)
        raise(SIGUSR1);
    if (pipe(pipes))
        return 1;
    alarm_soon();
    if (read(pipes[0], &byte, 1) != -1 || errno != EINTR)
        return 2;
    alarm_soon();
    slept = nanosleep(&moment, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    sigwait(&set, &got);
    printf("%d %d %d %s\n", hits[SIGUSR1], hits[SIGUSR2], got, strerror(errno));
    fflush(stdout);
    faulty(1);
    return 0;
}
