/* In which order do pending signals arrive, and what is kept of those that are sent twice? */
#include "say.h"
#include <sys/time.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    int number = signo > 31 ? 100 + signo - SIGRTMIN : signo;
    say("%d code %d value %d self %d\n", number, info->si_code, info->si_code == SI_QUEUE ? info->si_value.sival_int : 0,
        info->si_pid == getpid());
}

int main(void)
{
    sigset_t all, pending;
    sigfillset(&all);
    int numbers[] = {SIGRTMIN, SIGRTMIN + 1, SIGRTMIN + 5, SIGUSR1, SIGUSR2, SIGHUP, SIGSEGV, SIGTERM, SIGURG};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        on(numbers[i], handler, 0);
        struct sigaction action;
        sigaction(numbers[i], 0, &action);
        action.sa_mask = all;
        sigaction(numbers[i], &action, 0);
    }
    sigprocmask(SIG_BLOCK, &all, 0);
    sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 50});
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1});
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 2});
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 3});
    kill(getpid(), SIGRTMIN);
    kill(getpid(), SIGRTMIN);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7});
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 8});
    kill(getpid(), SIGUSR2);
    raise(SIGUSR2); /* thread-directed: another queue */
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGSEGV); /* of the kind that faults send: first, however sent */
    kill(getpid(), SIGURG);
    raise(SIGTERM);
    sigpending(&pending);
    for (int i = 1; i < 32; i++)
        if (sigismember(&pending, i))
            say("pending %d\n", i);
    sigprocmask(SIG_UNBLOCK, &all, 0);
    say("done\n");
    return 0;
}
