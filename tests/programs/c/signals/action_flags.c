/* What do SA_NODEFER, SA_RESETHAND, SA_SIGINFO and sa_mask do, and what does sigaction(2) hand back? */
#include "say.h"

static int depth, raised;

static void show_mask(const char *where)
{
    sigset_t mask;
    sigprocmask(SIG_BLOCK, 0, &mask);
    say("%s: blocked", where);
    for (int i = 1; i < 32; i++)
        if (sigismember(&mask, i))
            say(" %d", i);
    say("\n");
}

static void nested(int signo)
{
    depth++;
    say("enter %d depth %d\n", signo, depth);
    show_mask("inside");
    if (depth == 1 && raised++ < 3)
        raise(signo);
    say("leave depth %d\n", depth);
    depth--;
}

static void set(int signo, void (*handler)(int), int flags, int also)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (also) {
        sigaddset(&action.sa_mask, also);
        sigaddset(&action.sa_mask, SIGKILL);
    }
    try(sigaction(signo, &action, 0));
}

int main(void)
{
    struct sigaction got;
    set(SIGUSR1, nested, 0, SIGTERM);
    raise(SIGUSR1);
    set(SIGUSR1, nested, SA_NODEFER, 0);
    raised = 0;
    raise(SIGUSR1);
    set(SIGUSR2, nested, SA_RESETHAND | SA_NODEFER, SIGHUP);
    sigaction(SIGUSR2, 0, &got);
    say("before: default %d flags %x\n", got.sa_handler == SIG_DFL, got.sa_flags & ~0x4000000);
    depth = 1;
    raise(SIGUSR2);
    sigaction(SIGUSR2, 0, &got);
    say("after: default %d flags %x hup %d kill %d\n", got.sa_handler == SIG_DFL, got.sa_flags & ~0x4000000,
        sigismember(&got.sa_mask, SIGHUP), sigismember(&got.sa_mask, SIGKILL));
    struct sigaction odd = {.sa_handler = nested, .sa_flags = 0x400 | 0x2000};
    sigaction(SIGHUP, &odd, 0);
    sigaction(SIGHUP, 0, &got);
    say("unknown flags kept: %x\n", got.sa_flags & ~0x4000000);
    try(sigaction(SIGKILL, &odd, 0));
    try(sigaction(SIGSTOP, &odd, 0));
    try(sigaction(SIGKILL, 0, &got));
    try(syscall(SYS_rt_sigaction, 0, 0, 0, 8));
    try(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
    try(syscall(SYS_rt_sigaction, 64, 0, 0, 8));
    try(syscall(SYS_rt_sigaction, 10, 0, 0, 4));
    try(syscall(SYS_rt_sigaction, 10, 8, 0, 8));
    try(syscall(SYS_rt_sigaction, 9, 8, 0, 8));
    try(syscall(SYS_rt_sigaction, 10, 0, 8, 8));
    try(syscall(SYS_rt_sigprocmask, 5, 0, 0, 8));
    try(syscall(SYS_rt_sigprocmask, 5, &got.sa_mask, 0, 8));
    try(syscall(SYS_rt_sigprocmask, 0, 8, 0, 8));
    try(syscall(SYS_rt_sigprocmask, 0, 0, 8, 8));
    try(syscall(SYS_rt_sigprocmask, 0, 0, 0, 16));
    try(syscall(SYS_rt_sigpending, 8, 8));
    try(syscall(SYS_rt_sigpending, &got.sa_mask, 9));
    try(syscall(SYS_rt_sigsuspend, &got.sa_mask, 4));
    try(syscall(SYS_rt_sigsuspend, 8, 8));
    return 0;
}
