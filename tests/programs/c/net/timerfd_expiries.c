/* How many expiries does a timerfd count: one-shot, periodic, absolute, past, disarmed? */
#include "say.h"
#include <poll.h>
#include <sys/timerfd.h>

static unsigned long long take(int fd)
{
    unsigned long long count = 0;
    if (read(fd, &count, 8) != 8)
        say("errno %d\n", errno);
    return count;
}

int main(void)
{
    struct itimerspec soon = {{0, 0}, {0, 5000000}}, off = {{0, 0}, {0, 0}}, now;
    struct itimerspec often = {{0, 10000000}, {0, 10000000}}, bad = {{0, 0}, {0, 1000000000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    take(fd);
    timerfd_settime(fd, 0, &soon, 0);
    timerfd_gettime(fd, &now);
    say("left %d\n", now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 5000000);
    struct pollfd set = {fd, POLLIN | POLLOUT, 0};
    say("poll %d", poll(&set, 1, -1));
    say(" %x\n", set.revents);
    say("one-shot %llu\n", take(fd));
    take(fd);
    timerfd_gettime(fd, &now);
    say("over %ld %ld\n", now.it_value.tv_sec, now.it_value.tv_nsec);

    timerfd_settime(fd, 0, &often, 0);
    rest(35);
    unsigned long long count = take(fd);
    say("periodic %d\n", count >= 3 && count < 1000);
    fcntl(fd, F_SETFL, 0);
    say("next %d\n", take(fd) >= 1);
    timerfd_settime(fd, 0, &off, &now);
    say("interval %ld\n", now.it_interval.tv_nsec);
    timerfd_gettime(fd, &now);
    say("off %ld %ld\n", now.it_value.tv_nsec, now.it_interval.tv_nsec);
    say("poll %d\n", poll(&set, 1, 20));

    struct timespec clock;
    int real = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &clock);
    struct itimerspec at = {{0, 0}, {clock.tv_sec - 1, 0}};
    timerfd_settime(real, TFD_TIMER_ABSTIME, &at, 0);
    say("past %llu\n", take(real));
    clock_gettime(CLOCK_REALTIME, &clock);
    at.it_value.tv_sec = clock.tv_sec, at.it_value.tv_nsec = clock.tv_nsec + 5000000;
    if (at.it_value.tv_nsec >= 1000000000)
        at.it_value.tv_nsec -= 1000000000, at.it_value.tv_sec++;
    timerfd_settime(real, TFD_TIMER_ABSTIME, &at, 0);
    say("absolute %llu\n", take(real));

    timerfd_settime(fd, 0, &soon, 0);
    pid_t child = fork(); /* the timer is shared: one of them takes the expiry */
    if (child == 0) {
        say("child %llu\n", take(fd));
        _exit(0);
    }
    wait_and_say("child", child);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    take(fd);
    try(timerfd_create(99, 0));
    try(timerfd_create(CLOCK_MONOTONIC, 1));
    try(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    try(timerfd_settime(fd, 8, &soon, 0));
    try(timerfd_settime(fd, 0, &bad, 0));
    try(timerfd_settime(0, 0, &soon, 0));
    try(timerfd_gettime(99, &now));
    char small[4];
    try(read(fd, small, 4));
    try(write(fd, small, 4));
    return 0;
}
