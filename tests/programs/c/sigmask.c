/* Are blocked signals kept, once each (real-time ones as often as sent, in order), and delivered when unblocked? */
#include "say.h"

static char order[64];
static int at;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    at += snprintf(order + at, sizeof order - at, "%d:%d ", signo, info->si_code == SI_QUEUE ? info->si_value.sival_int : -1);
}

int main(void)
{
    sigset_t set, old, pending;
    int signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN, SIGRTMIN + 1};
    sigemptyset(&set);
    for (int i = 0; i < 5; i++) {
        struct sigaction action = {.sa_flags = SA_SIGINFO};
        action.sa_sigaction = handler;
        sigfillset(&action.sa_mask);
        sigaction(signals[i], &action, 0);
        sigaddset(&set, signals[i]);
    }
    sigaddset(&set, SIGKILL);
    try(sigprocmask(SIG_BLOCK, &set, &old));
    try(sigprocmask(99, &set, 0));
    sigprocmask(SIG_BLOCK, 0, &set);
    say("SIGKILL blocked: %d, SIGUSR1 blocked: %d, before: %d\n", sigismember(&set, SIGKILL), sigismember(&set, SIGUSR1),
        sigismember(&old, SIGUSR1));
    for (int i = 0; i < 3; i++)
        kill(getpid(), SIGTERM);
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9});
    sigpending(&pending);
    for (int i = 0; i < 5; i++)
        say("%d", sigismember(&pending, signals[i]));
    say(" pending, delivered so far: '%s'\n", order);
    sigprocmask(SIG_SETMASK, &old, 0);
    sigpending(&pending);
    say("%d still pending\n", sigismember(&pending, SIGTERM));
    say("SIGUSR1=%d SIGUSR2=%d SIGTERM=%d\norder: %s\n", SIGUSR1, SIGUSR2, SIGTERM, order);
    return 0;
}
