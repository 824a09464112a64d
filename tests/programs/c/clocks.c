/* Do the clocks agree with each other and with sleeping, and never run backwards? */
#include "say.h"
#include <sys/time.h>
#include <sys/times.h>

static long long now(int clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t))
        return -1;
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void)
{
    long long before = now(CLOCK_MONOTONIC), last = before;
    for (int i = 0; i < 1000; i++) {
        long long t = now(CLOCK_MONOTONIC);
        if (t < last)
            return 1;
        last = t;
    }
    rest(20);
    long long slept = now(CLOCK_MONOTONIC) - last;
    say("slept at least 20 ms: %d, less than 10 s: %d\n", slept >= 20000000, slept < 10000000000);
    struct timespec until = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += until.tv_nsec >= 990000000;
    until.tv_nsec = (until.tv_nsec + 10000000) % 1000000000;
    try(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0));
    struct timespec reached;
    clock_gettime(CLOCK_MONOTONIC, &reached);
    say("reached: %d\n", reached.tv_sec > until.tv_sec || (reached.tv_sec == until.tv_sec && reached.tv_nsec >= until.tv_nsec));
    try(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0));
    struct timeval tv;
    gettimeofday(&tv, 0);
    say("gettimeofday near CLOCK_REALTIME: %d\n", llabs(now(CLOCK_REALTIME) / 1000000000 - tv.tv_sec) <= 1);
    say("time near CLOCK_REALTIME: %d\n", llabs(now(CLOCK_REALTIME) / 1000000000 - time(0)) <= 1);
    say("after 2020: %d\n", time(0) > 1577836800);
    say("process time advances: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) > 0);
    say("boot time: %d\n", now(CLOCK_BOOTTIME) >= before);
    struct timespec bad = {0, 1000000000};
    try(nanosleep(&bad, 0));
    bad = (struct timespec){-1, 0};
    try(nanosleep(&bad, 0));
    try(clock_gettime(9999, &bad));
    struct tms tms;
    say("times: %d\n", times(&tms) != (clock_t)-1);
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    unsigned long long one = (unsigned long long)high << 32 | low;
    rest(1);
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    say("time stamp counter advances: %d\n", ((unsigned long long)high << 32 | low) > one);
    return 0;
}
