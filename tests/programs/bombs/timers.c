/* Timers: until timer_create fails; then all of them fire as often as they can. */
#include "bomb.h"

int main(void)
{
    int count = 0;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct itimerspec often = {{0, 1}, {0, 1}};
    while (!timer_create(CLOCK_MONOTONIC, &event, &timer)) {
        timer_settime(timer, 0, &often, 0);
        count++;
    }
    say("timer_create: %s, some %d\n", name_of(errno), count > 50);
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, 0);
    say("slept\n");
    return 0;
}
