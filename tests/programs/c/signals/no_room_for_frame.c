/* What if the stack cannot take a handler's frame? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    say("handler of %d\n", signo);
    _exit(signo);
}

static void on_bad_stack(void)
{
    raise(SIGUSR1);
}

static void with_stack(unsigned long sp)
{
    asm volatile("mov %0, %%rsp; mov %1, %%eax; mov %2, %%edi; mov $10, %%esi; syscall; ud2" ::"r"(sp),
                 "i"(SYS_kill), "r"(getpid())
                 : "rax", "rdi", "rsi", "rcx", "r11", "memory");
}

int main(void)
{
    static char alternate[32768];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    pid_t child;
    (void)on_bad_stack;
    for (int kind = 0; kind < 4; kind++) {
        child = fork();
        if (child == 0) {
            on(SIGUSR1, handler, 0);
            if (kind & 1)
                on(SIGSEGV, handler, SA_ONSTACK);
            if (kind & 2)
                sigaltstack(&stack, 0);
            with_stack(4096);
        }
        wait_and_say("child", child);
    }
    return 0;
}
