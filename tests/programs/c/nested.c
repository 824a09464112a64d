/* Who interrupts whom: a handler's own signal, others, sa_mask, SA_NODEFER, SA_RESETHAND? */
#include "say.h"

static volatile int depth, deepest, level, first = 1;

static void plain(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    say("%*senter %d\n", level++ * 2, "", signo);
    if (signo == SIGUSR1 && level == 1 && first) {
        first = 0;
        raise(SIGUSR1); /* waits until we return */
        raise(SIGUSR2); /* comes at once */
        say("  back in %d\n", signo);
    }
    say("%*sleave %d\n", --level * 2, "", signo);
}

static void once(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (++depth <= 5)
        raise(signo);
    if (depth > deepest)
        deepest = depth;
    depth--;
}

int main(void)
{
    on(SIGUSR2, plain, 0);
    struct sigaction action = {.sa_sigaction = plain, .sa_flags = SA_SIGINFO};
    on(SIGUSR1, plain, 0);
    raise(SIGUSR1);
    say("with SIGUSR2 in sa_mask:\n");
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, 0);
    first = 1;
    raise(SIGUSR1);
    on(SIGTERM, once, SA_NODEFER);
    raise(SIGTERM);
    say("SA_NODEFER nests to %d\n", deepest);
    on(SIGUSR1, plain, SA_RESETHAND);
    raise(SIGUSR2);
    pid_t child = fork();
    if (child == 0) {
        level = 1;
        raise(SIGUSR1);
        raise(SIGUSR1);
        _exit(0);
    }
    wait_and_say("SA_RESETHAND", child);
    return 0;
}
