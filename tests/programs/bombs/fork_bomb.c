/* Processes that wait, until fork fails; then again, after all of them are gone. */
#include "bomb.h"

static int fill(void)
{
    int count = 0;
    for (;; count++) {
        pid_t pid = fork();
        if (pid < 0)
            return count;
        if (!pid)
            for (;;)
                pause();
    }
}

int main(void)
{
    int first = fill(), error = errno, gone = 0;
    say("fork: %s, some %d\n", name_of(error), first > 50);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(0) > 0)
        gone++;
    say("gone: %d\n", gone == first);
    signal(SIGTERM, SIG_DFL);
    say("again: %d\n", fill() == first);
    kill(0, SIGTERM);
    return 0;
}
