/* Does SA_ONSTACK run the handler on the alternate stack, and what may sigaltstack do there? */
#include "say.h"

static char stack[65536];
static int depth;

static void handler(int signo, siginfo_t *info, void *context)
{
    char here;
    stack_t now, other = {.ss_sp = stack, .ss_size = 32768};
    ucontext_t *uc = context;
    (void)info;
    int inside = &here >= stack && &here < stack + sizeof stack;
    sigaltstack(0, &now);
    int result = sigaltstack(&other, 0);
    say("%d: inside %d, flags %d, change %d errno %d, uc size %zu\n", signo, inside, now.ss_flags, result, errno,
        uc->uc_stack.ss_size);
    if (depth++ == 0)
        raise(SIGUSR2);
}

int main(void)
{
    stack_t set = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    sigaltstack(0, &old);
    say("at first: flags %d, size %zu\n", old.ss_flags, old.ss_size);
    set.ss_size = 100;
    try(sigaltstack(&set, 0));
    set.ss_size = sizeof stack;
    set.ss_flags = 77;
    try(sigaltstack(&set, 0));
    set.ss_flags = 0;
    try(sigaltstack(&set, &old));
    on(SIGUSR1, handler, SA_ONSTACK);
    on(SIGUSR2, handler, SA_ONSTACK);
    raise(SIGUSR1);
    sigaltstack(0, &old);
    say("after: flags %d, size %zu\n", old.ss_flags, old.ss_size);
    on(SIGUSR1, handler, 0);
    raise(SIGUSR1);
    set.ss_flags = 1u << 31; /* SS_AUTODISARM */
    try(sigaltstack(&set, 0));
    on(SIGUSR1, handler, SA_ONSTACK);
    raise(SIGUSR1);
    set.ss_flags = SS_DISABLE;
    try(sigaltstack(&set, &old));
    say("disarmed: %d, size %zu\n", old.ss_flags, old.ss_size);
    sigaltstack(0, &old);
    say("disabled: %d\n", old.ss_flags);
    pid_t child = fork();
    if (child == 0) {
        sigaltstack(0, &old);
        _exit(old.ss_flags);
    }
    wait_and_say("child", child);
    return 0;
}
