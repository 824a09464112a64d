/* What do alarm(2) and ITIMER_REAL hand back, and when does a period go on? */
#include "say.h"
#include <sys/time.h>

static volatile int hits;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (!hits++)
        say("signal %d code %d pid %d\n", signo, info->si_code, info->si_pid);
}

static void show(const char *when, struct itimerval *v)
{
    say("%s: left %d, interval %ld.%06ld\n", when, v->it_value.tv_sec || v->it_value.tv_usec, (long)v->it_interval.tv_sec,
        (long)v->it_interval.tv_usec);
}

int main(void)
{
    struct itimerval now, set = {{0, 2000}, {0, 1000}}, bad = {{0, 0}, {0, 1000000}}, negative = {{-1, 0}, {1, 0}};
    struct itimerval never = {{0, 0}, {1000000000, 0}}, off = {{0, 0}, {0, 0}};
    on(SIGALRM, handler, 0);
    try(alarm(100));
    try(alarm(0));
    try(alarm(0));
    try(setitimer(ITIMER_REAL, &bad, 0));
    try(setitimer(ITIMER_REAL, &negative, 0));
    try(setitimer(3, &set, 0));
    try(setitimer(ITIMER_REAL, (void *)8, 0));
    try(setitimer(ITIMER_REAL, 0, (void *)8));
    try(getitimer(ITIMER_REAL, (void *)8));
    try(getitimer(-1, &now));
    try(setitimer(ITIMER_REAL, &never, &now));
    show("none", &now);
    try(alarm(5) > 4000000);
    getitimer(ITIMER_REAL, &now);
    say("5 seconds, or nearly: %d\n", now.it_value.tv_sec >= 4 && now.it_value.tv_sec <= 5);
    sigset_t block, old, pending;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigprocmask(SIG_BLOCK, &block, &old);
    setitimer(ITIMER_REAL, &set, &now);
    say("old: 4 or 5: %d\n", now.it_value.tv_sec == 4 || now.it_value.tv_sec == 5);
    do {
        rest(2);
        sigpending(&pending);
    } while (!sigismember(&pending, SIGALRM));
    getitimer(ITIMER_REAL, &now); /* stands still until the signal is taken */
    show("while it is pending", &now);
    while (hits < 3)
        sigsuspend(&old);
    getitimer(ITIMER_REAL, &now);
    show("after three", &now);
    setitimer(ITIMER_REAL, &off, 0);
    sigprocmask(SIG_SETMASK, &old, 0);
    hits = 0;
    signal(SIGALRM, SIG_IGN); /* nobody takes it: it ends */
    setitimer(ITIMER_REAL, &set, 0);
    rest(10);
    getitimer(ITIMER_REAL, &now);
    show("ignored", &now);
    say("hits %d\n", hits);
    return 0;
}
