/* Which signals does sigtimedwait(2) take, of which queue first, and when does it fail? */
#include "say.h"

/* The call itself: musl's function tries again after EINTR. */
#define sigtimedwait(set, info, timeout) syscall(SYS_rt_sigtimedwait, set, info, timeout, 8)
#define sigwaitinfo(set, info) sigtimedwait(set, info, 0)

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    say("handler of %d\n", signo);
}

int main(void)
{
    sigset_t set, chld;
    siginfo_t info;
    struct timespec none = {0, 0}, odd = {0, 1000000000}, negative = {-1, 0}, little = {0, 1000000}, minute = {60, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGKILL);
    sigprocmask(SIG_BLOCK, &set, 0);
    on(SIGUSR1, handler, 0);
    on(SIGHUP, handler, SA_RESTART);
    try(sigtimedwait(&set, &info, &none));
    try(sigtimedwait(&set, &info, &little));
    try(sigtimedwait(&set, &info, &odd));
    try(sigtimedwait(&set, &info, &negative));
    try(sigtimedwait((sigset_t *)8, &info, &none));
    try(sigtimedwait(&set, &info, (struct timespec *)8));
    kill(getpid(), SIGUSR1);
    raise(SIGUSR2);
    try(sigtimedwait(&set, &info, &none)); /* the thread's own queue first */
    try(sigwaitinfo(&set, &info));
    say("code %d\n", info.si_code);
    kill(getpid(), SIGUSR1);
    try(sigtimedwait(&set, (siginfo_t *)8, &none));
    try(sigtimedwait(&set, &info, &none)); /* it was taken all the same */
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        rest(10);
        kill(parent, SIGHUP);
        rest(10);
        kill(parent, SIGUSR2);
        rest(10);
        _exit(0);
    }
    try(sigtimedwait(&set, &info, &minute)); /* another signal's handler interrupts, SA_RESTART or not */
    try(sigwaitinfo(&set, &info));
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD); /* not blocked and ignored by default: it does not come, awaited or not */
    struct timespec tenth = {0, 100000000};
    try(sigtimedwait(&chld, &info, &tenth));
    wait_and_say("child", child);
    sigprocmask(SIG_SETMASK, 0, &chld);
    say("still blocked: %d, not: %d\n", sigismember(&chld, SIGUSR1), sigismember(&chld, SIGCHLD));
    return 0;
}
