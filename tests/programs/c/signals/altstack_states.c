/* What does sigaltstack(2) say and refuse, on and off the alternate stack, with and without SS_AUTODISARM? */
#include "say.h"
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char stack[65536], other[65536];

static void show(const char *when)
{
    stack_t now;
    sigaltstack(0, &now);
    say("%s: flags %x at %s size %ld\n", when, (unsigned)now.ss_flags,
        now.ss_sp == stack ? "stack" : now.ss_sp == other ? "other" : now.ss_sp ? "?" : "0", (long)now.ss_size);
}

static int on_it(void)
{
    char here;
    return &here >= stack && &here < stack + sizeof stack;
}

static void handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)info;
    say("handler of %d on it: %d, uc_stack flags %x size %ld\n", signo, on_it(), (unsigned)uc->uc_stack.ss_flags,
        (long)uc->uc_stack.ss_size);
    show("inside");
    stack_t change = {.ss_sp = other, .ss_size = sizeof other}, off = {.ss_flags = SS_DISABLE};
    try(sigaltstack(&change, 0));
    try(sigaltstack(&off, 0));
    if (signo == SIGUSR1)
        raise(SIGUSR2);
}

int main(void)
{
    show("at first");
    stack_t set = {.ss_sp = stack, .ss_size = sizeof stack};
    stack_t bad = {.ss_sp = stack, .ss_size = 2047}, worse = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = 4};
    try(sigaltstack(&bad, 0));
    try(sigaltstack(&worse, 0));
    try(sigaltstack((stack_t *)8, 0));
    try(sigaltstack(0, (stack_t *)8));
    try(sigaltstack(&set, (stack_t *)8)); /* too late: it is set */
    show("set");
    set.ss_flags = SS_ONSTACK;
    try(sigaltstack(&set, 0));
    show("set with SS_ONSTACK");
    on(SIGUSR1, handler, SA_ONSTACK);
    on(SIGUSR2, handler, SA_ONSTACK);
    raise(SIGUSR1);
    show("after");
    on(SIGUSR2, handler, 0);
    raise(SIGUSR2); /* off it: the changes hold until sigreturn puts uc_stack back */
    show("after one on the ordinary stack");
    set.ss_flags = SS_AUTODISARM;
    try(sigaltstack(&set, 0));
    show("autodisarm");
    on(SIGUSR2, handler, SA_ONSTACK);
    raise(SIGUSR2);
    show("after");
    if (fork() == 0) {
        show("child");
        _exit(0);
    }
    int status;
    wait(&status);
    stack_t off = {.ss_sp = stack, .ss_size = 5, .ss_flags = SS_DISABLE};
    try(sigaltstack(&off, 0));
    show("off");
    return 0;
}
