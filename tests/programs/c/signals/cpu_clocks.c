/* Do the processor clocks of processes and threads advance as they run, and which numbers do clocks have? */
#include "say.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/times.h>

static long long now(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t))
        return -errno;
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void burn(void)
{
    long long until = now(CLOCK_THREAD_CPUTIME_ID) + 3000000;
    while (now(CLOCK_THREAD_CPUTIME_ID) < until)
        for (volatile int i = 0; i < 20000; i++)
            ;
}

static void *run(void *unused)
{
    (void)unused;
    burn();
    return 0;
}

static void ticked(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
}

int main(void)
{
    struct timespec t;
    clockid_t clock;
    pthread_t thread;
    long long process = now(CLOCK_PROCESS_CPUTIME_ID), mine = now(CLOCK_THREAD_CPUTIME_ID);
    rest(20);
    say("sleep costs little: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - process < 15000000);
    pthread_create(&thread, 0, run, 0);
    pthread_join(thread, 0);
    say("the thread's work is the process's: %d, not the first thread's: %d\n",
        now(CLOCK_PROCESS_CPUTIME_ID) - process >= 3000000, now(CLOCK_THREAD_CPUTIME_ID) - mine < 3000000);
    clock_getcpuclockid(getpid(), &clock);
    say("by number: %d\n", now(clock) >= 3000000 && now(clock) <= now(CLOCK_PROCESS_CPUTIME_ID));
    say("of init: %d\n", now((clockid_t)(~1u << 3 | 2)) >= 0);
    say("of nobody: %lld\n", now((clockid_t)(~0x3fffffu << 3 | 2)));
    say("of a foreign thread: %lld\n", now((clockid_t)(~0x3fffffu << 3 | 6)));
    say("own thread: %d\n", now((clockid_t)(~0u << 3 | 6)) > 0);
    for (int i = -1; i <= 15; i++)
        say("%d: time %d resolution %d errno %d\n", i, (int)syscall(SYS_clock_gettime, i, &t), (int)syscall(SYS_clock_getres, i, &t), errno);
    try(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8));
    try(clock_getres(CLOCK_MONOTONIC, 0));
    syscall(SYS_clock_getres, CLOCK_MONOTONIC, &t);
    say("resolution %ld\n", t.tv_nsec);
    struct timespec zero = {0, 0};
    try(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t));
    try(syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &t));
    try(syscall(SYS_clock_settime, CLOCK_REALTIME, 8));
    t.tv_nsec = -1;
    try(syscall(SYS_clock_settime, CLOCK_REALTIME, &t));
    try(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &zero, 0));
    try(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &zero, 0));
    try(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &zero, 0));
    try(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &zero, 0));
    try(syscall(SYS_clock_nanosleep, 99, 0, &zero, 0));
    on(SIGUSR1, ticked, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {{0, 0}, {0, 3000000}};
    int id;
    try(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &id));
    sigset_t block, pending;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, 0);
    long long armed = now(CLOCK_PROCESS_CPUTIME_ID);
    try(syscall(SYS_timer_settime, id, 0, &spec, 0));
    do {
        burn();
        sigpending(&pending);
    } while (!sigismember(&pending, SIGUSR1));
    say("processor time was used: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - armed >= 3000000);
    struct rusage self, of_thread, children;
    struct tms tms;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_THREAD, &of_thread);
    say("process %d thread %d faults %d resident %d\n", self.ru_utime.tv_usec + self.ru_stime.tv_usec > 0,
        of_thread.ru_utime.tv_usec + of_thread.ru_stime.tv_usec > 0, self.ru_minflt > 0, self.ru_maxrss > 0);
    pid_t child = fork();
    if (child == 0) {
        char *volatile big = malloc(30 << 20);
        memset(big, 1, 30 << 20);
        free(big);
        for (int i = 0; i < 8; i++)
            burn();
        _exit(0);
    }
    wait_and_say("child", child);
    getrusage(RUSAGE_CHILDREN, &children);
    times(&tms);
    say("children: time %d resident %d faults %d ticks %d\n",
        children.ru_utime.tv_sec * 1000000 + children.ru_utime.tv_usec + children.ru_stime.tv_usec >= 20000,
        children.ru_maxrss > 30 << 10, children.ru_minflt > 7000, tms.tms_cutime + tms.tms_cstime > 0);
    try(getrusage(5, &self));
    try(getrusage(RUSAGE_SELF, (void *)8));
    return 0;
}
