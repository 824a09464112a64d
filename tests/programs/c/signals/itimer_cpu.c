/* Do ITIMER_VIRTUAL and ITIMER_PROF count processor time, and not sleep? */
#include "say.h"
#include <sys/time.h>

static volatile int virtual, prof;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (signo == SIGVTALRM ? !virtual++ : !prof++)
        say("%s code %d\n", signo == SIGVTALRM ? "virtual" : "prof", info->si_code);
}

static void burn(volatile int *until, int count)
{
    while (*until < count)
        for (volatile int i = 0; i < 1000; i++)
            ;
}

int main(void)
{
    struct itimerval set = {{0, 4000}, {0, 4000}}, now, off = {{0, 0}, {0, 0}};
    on(SIGVTALRM, handler, 0);
    on(SIGPROF, handler, 0);
    setitimer(ITIMER_VIRTUAL, &set, 0);
    rest(30);
    say("asleep: %d\n", virtual);
    burn(&virtual, 3);
    getitimer(ITIMER_VIRTUAL, &now);
    say("left %d interval %ld\n", now.it_value.tv_usec > 0, (long)now.it_interval.tv_usec);
    setitimer(ITIMER_VIRTUAL, &off, &now);
    say("old interval %ld\n", (long)now.it_interval.tv_usec);
    setitimer(ITIMER_PROF, &set, 0);
    burn(&prof, 2);
    setitimer(ITIMER_PROF, &off, 0);
    getitimer(ITIMER_PROF, &now);
    say("left %ld interval %ld\n", (long)now.it_value.tv_usec, (long)now.it_interval.tv_usec);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPROF, SIG_DFL);
        setitimer(ITIMER_PROF, &set, 0);
        for (;;)
            ;
    }
    wait_and_say("child", child);
    return 0;
}
