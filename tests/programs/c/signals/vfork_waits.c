/* Does a parent in vfork(2) take signals only when the child has let go of its memory? */
#include "say.h"

static volatile int hits;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    hits++;
}

int main(void)
{
    on(SIGUSR1, handler, 0);
    on(SIGUSR2, handler, SA_RESTART);
    pid_t parent = getpid();
    for (int i = 0; i < 2; i++) {
        pid_t child = vfork();
        if (child == 0) {
            kill(parent, i ? SIGUSR2 : SIGUSR1);
            _exit(hits == i ? 5 : 6); /* the memory is shared: no handler has run yet */
        }
        say("child %d, hits %d\n", child > 0, hits);
        wait_and_say("child", child);
    }
    int status;
    errno = 0;
    say("no other child: %d errno %d\n", waitpid(-1, &status, WNOHANG), errno);
    return 0;
}
