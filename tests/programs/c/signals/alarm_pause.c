/* Does an alarm end pause(2), read(2), and with its default action the process, across fork and execve too? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    say("signal %d\n", signo);
}

int main(int argc, char **argv)
{
    int ends[2];
    char byte;
    if (argc > 1) { /* the program that was executed with an alarm running */
        signal(SIGALRM, SIG_DFL);
        for (;;)
            pause();
    }
    struct timespec late;
    clock_gettime(CLOCK_MONOTONIC, &late);
    on(SIGALRM, handler, 0);
    ualarm(5000, 0);
    try(pause());
    pipe(ends);
    ualarm(5000, 0);
    try(read(ends[0], &byte, 1));
    pid_t child = fork();
    if (child == 0) {
        ualarm(5000, 0);
        char *arguments[] = {argv[0], "x", 0};
        execve("/proc/self/exe", arguments, 0);
        _exit(9);
    }
    wait_and_say("executed", child);
    alarm(100);
    child = fork();
    if (child == 0)
        _exit(alarm(0)); /* not inherited */
    wait_and_say("child has no alarm", child);
    say("left: %d\n", alarm(0) > 90);
    return 0;
}
