/* What do sleeps that a handler cuts short report, and do absolute and past deadlines behave? */
#include "say.h"
#include <sys/select.h>
#include <sys/time.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
}

int main(void)
{
    struct timespec minute = {60, 0}, left = {7, 7}, at;
    struct itimerval soon = {{0, 0}, {0, 3000}};
    on(SIGALRM, handler, SA_RESTART);
    setitimer(ITIMER_REAL, &soon, 0);
    try(nanosleep(&minute, &left));
    say("left: %d\n", left.tv_sec == 59);
    setitimer(ITIMER_REAL, &soon, 0);
    try(nanosleep(&minute, (void *)8));
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += 60;
    left = (struct timespec){7, 7};
    setitimer(ITIMER_REAL, &soon, 0);
    try(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &at, &left));
    say("untouched: %d\n", left.tv_sec == 7 && left.tv_nsec == 7);
    setitimer(ITIMER_REAL, &soon, 0);
    try(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &minute, &left));
    say("left: %d\n", left.tv_sec == 59);
    at = (struct timespec){0, 1};
    try(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &at, &left));
    try(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0x100, &(struct timespec){0, 1}, 0));
    try(nanosleep((void *)8, 0));
    try(nanosleep(&(struct timespec){0, -1}, 0));
    setitimer(ITIMER_REAL, &soon, 0);
    struct timeval wait = {60, 0};
    try(syscall(SYS_select, 0, 0, 0, 0, &wait));
    say("select's timeout: %d\n", wait.tv_sec == 59);
    setitimer(ITIMER_REAL, &soon, 0);
    at = minute;
    try(syscall(SYS_pselect6, 0, 0, 0, 0, &at, 0));
    say("pselect's timeout: %d\n", at.tv_sec == 59);
    setitimer(ITIMER_REAL, &soon, 0);
    at = minute;
    try(syscall(SYS_ppoll, 0, 0, &at, 0, 8));
    say("ppoll's timeout: %d\n", at.tv_sec == 59);
    return 0;
}
