/* Does sigsuspend let exactly the chosen signal in, return EINTR, and put the old mask back? */
#include "say.h"

static volatile int usr1, usr2, blocked_inside;

static void handler(int signo, siginfo_t *info, void *context)
{
    sigset_t now;
    (void)info;
    (void)context;
    sigprocmask(SIG_BLOCK, 0, &now);
    blocked_inside = sigismember(&now, SIGUSR1) * 10 + sigismember(&now, SIGUSR2);
    *(signo == SIGUSR1 ? &usr1 : &usr2) += 1;
}

int main(void)
{
    sigset_t both, old, only2;
    on(SIGUSR1, handler, 0);
    on(SIGUSR2, handler, 0);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    sigprocmask(SIG_BLOCK, &both, &old);
    only2 = both;
    sigdelset(&only2, SIGUSR2);
    raise(SIGUSR1);
    pid_t parent = getpid();
    if (fork() == 0) {
        rest(5);
        kill(parent, SIGUSR2);
        _exit(0);
    }
    int result = sigsuspend(&only2);
    say("%d errno %d, usr1 %d usr2 %d, inside %d\n", result, errno, usr1, usr2, blocked_inside);
    sigprocmask(SIG_BLOCK, 0, &both);
    say("blocked again: %d %d\n", sigismember(&both, SIGUSR1), sigismember(&both, SIGUSR2));
    sigprocmask(SIG_SETMASK, &old, 0);
    say("then usr1 %d\n", usr1);
    wait(0);
    return 0;
}
