/* Does siglongjmp restore the mask, and does leaving a handler by longjmp keep the signal blocked? */
#include "say.h"

static jmp_buf plain;
static sigjmp_buf saving;
static int saved;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    if (saved)
        siglongjmp(saving, 1);
    longjmp(plain, 1);
}

static int blocked(void)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    return sigismember(&now, SIGUSR1);
}

int main(void)
{
    on(SIGUSR1, handler, 0);
    if (_setjmp(plain) == 0)
        raise(SIGUSR1);
    say("after longjmp: blocked %d\n", blocked());
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    saved = 1;
    if (sigsetjmp(saving, 1) == 0)
        raise(SIGUSR1);
    say("after siglongjmp: blocked %d\n", blocked());
    return 0;
}
