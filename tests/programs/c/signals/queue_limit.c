/* What happens to signals beyond RLIMIT_SIGPENDING? */
#include "say.h"
#include <sys/resource.h>

static int values[20], seen;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    if (seen < 20)
        values[seen++] = info->si_code == SI_QUEUE ? info->si_value.sival_int : info->si_code == SI_USER ? -1 : -2;
}

int main(void)
{
    sigset_t set;
    /* A user of its own, so that nobody else's signals count. */
    if (setuid(54321))
        say("not the superuser\n");
    struct rlimit limit = {5, 5};
    try(setrlimit(RLIMIT_SIGPENDING, &limit));
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    sigaddset(&set, SIGRTMIN + 3);
    sigaddset(&set, SIGUSR1);
    on(SIGRTMIN + 2, handler, 0);
    on(SIGRTMIN + 3, handler, 0);
    on(SIGUSR1, handler, 0);
    sigprocmask(SIG_BLOCK, &set, 0);
    for (int i = 1; i <= 7; i++)
        say("queue %d: %d errno %d\n", i, sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}), errno);
    try(kill(getpid(), SIGRTMIN + 3)); /* sent all the same, once, and nobody knows by whom */
    try(kill(getpid(), SIGRTMIN + 3));
    try(kill(getpid(), SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &set, 0);
    for (int i = 0; i < seen; i++)
        say("got %d\n", values[i]);
    return 0;
}
