/* Who was interrupted by a signal, on which stack, and who called the call that the handler makes? */
#define _GNU_SOURCE
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

static char other[1 << 16];

__attribute__((noinline)) void say(volatile int *at)
{
    *at += write(1, "x", 1);
}

void handler(int signo, siginfo_t *info, void *context)
{
    volatile int written = 0;
    say(&written);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2 * written; /* behind ud2 */
}

__attribute__((noinline)) int divide(int a, int b)
{
    volatile int zero = b;
    asm volatile("ud2"); /* a signal that no call sends */
    return a / (zero + 1);
}

int main(int argc, char **argv)
{
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    return divide(argc, 0) - 1;
}
