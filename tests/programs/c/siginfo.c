/* What does siginfo_t hold for kill, raise, tgkill, sigqueue and a queued value? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    say("%d: si_signo %d si_code %d errno %d pid %d uid %d value %d mask %d\n", signo, info->si_signo, info->si_code,
        info->si_errno, info->si_pid == getpid(), info->si_uid == getuid(),
        info->si_code == SI_QUEUE ? info->si_value.sival_int : 0, sigismember(&uc->uc_sigmask, SIGUSR2));
}

int main(void)
{
    sigset_t set;
    on(SIGUSR1, handler, 0);
    on(SIGRTMIN, handler, 0);
    kill(getpid(), SIGUSR1);
    raise(SIGUSR1);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1234});
    kill(getpid(), SIGRTMIN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    kill(getpid(), SIGUSR1);
    return 0;
}
