/* What do the signals of timer_create(2) say, how are overruns counted, and what is refused? */
#include "say.h"

static volatile int hits;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (hits++ < 4)
        say("signal %d code %d value %d timer %d\n", signo == SIGRTMIN ? 100 : signo, info->si_code, info->si_value.sival_int,
            info->si_timerid);
}

static long create(int clock, int notify, int signo, int value, int *id)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = notify;
    event.sigev_signo = signo;
    event.sigev_value.sival_int = value;
    *(int *)((char *)&event + 16) = syscall(SYS_gettid);
    return syscall(SYS_timer_create, clock, &event, id);
}

static long settime(int id, int flags, struct itimerspec *value)
{
    return syscall(SYS_timer_settime, id, flags, value, 0);
}

int main(void)
{
    int id = -1, other, none;
    struct itimerspec now, off = {{0, 0}, {0, 0}}, fast = {{0, 1000000}, {0, 1000000}}, once = {{0, 0}, {0, 1000000}};
    struct itimerspec bad = {{0, 0}, {0, 1000000000}}, past = {{0, 0}, {0, 1}}, hour = {{1800, 0}, {3600, 0}};
    on(SIGRTMIN, handler, 0);
    on(SIGALRM, handler, 0);
    on(SIGUSR1, handler, 0);
    try(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 42, &id));
    say("id %d\n", id);
    try(syscall(SYS_timer_create, CLOCK_REALTIME, 0, &other)); /* SIGALRM, and its own number as value */
    say("id %d\n", other);
    try(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, &none));
    try(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 65, 0, &none + 0));
    try(create(CLOCK_MONOTONIC, 77, SIGUSR1, 0, &none));
    try(create(99, SIGEV_SIGNAL, SIGUSR1, 0, &none));
    try(create(CLOCK_MONOTONIC_RAW, SIGEV_SIGNAL, SIGUSR1, 0, &none));
    try(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &none));
    try(settime(id, 0, &bad));
    try(settime(id, 0, 0));
    try(settime(999, 0, &once));
    try(settime(id, 0, (void *)8));
    try(settime(id, 0, &hour));
    try(syscall(SYS_timer_gettime, id, &now));
    say("left about an hour: %d, interval %ld\n", now.it_value.tv_sec >= 3590 && now.it_value.tv_sec <= 3600,
        (long)now.it_interval.tv_sec);
    try(settime(id, TIMER_ABSTIME, &past)); /* at once */
    try(syscall(SYS_timer_gettime, id, &now));
    say("left %ld.%09ld\n", (long)now.it_value.tv_sec, now.it_value.tv_nsec);
    try(settime(other, 0, &once));
    while (hits < 2)
        rest(1);
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    try(settime(id, 0, &fast));
    rest(20);
    sigwaitinfo(&set, &info);
    long overrun = syscall(SYS_timer_getoverrun, id);
    say("many missed: %d, the same in si_overrun: %d\n", overrun >= 10, overrun == info.si_overrun);
    rest(5);
    try(settime(id, 0, &off)); /* what is pending goes too */
    struct timespec nothing = {0, 0};
    try(sigtimedwait(&set, &info, &nothing));
    try(settime(none, 0, &hour));
    try(syscall(SYS_timer_gettime, none, &now));
    say("counts without a signal: %d\n", now.it_value.tv_sec > 3590);
    try(syscall(SYS_timer_delete, none));
    try(syscall(SYS_timer_delete, none));
    try(create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR1, 5, &none));
    hits = 0;
    try(settime(none, 0, &once));
    while (!hits)
        rest(1);
    signal(SIGUSR1, SIG_IGN); /* comes when somebody wants it again */
    try(settime(none, 0, &fast));
    rest(5);
    hits = 0;
    on(SIGUSR1, handler, 0);
    while (!hits)
        rest(1);
    try(syscall(SYS_timer_delete, none));
    pid_t child = fork();
    if (child == 0) {
        try(settime(id, 0, &once)); /* timers stay with the parent */
        _exit(0);
    }
    wait_and_say("child", child);
    return 0;
}
