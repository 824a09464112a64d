/* Does a program that sets its own TF get one SIGTRAP per instruction, system calls and handlers included? */
#include "say.h"

static volatile long steps, traced, last;
static char *begin;

static void handler(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signo;
    traced += info->si_code == TRAP_TRACE;
    steps++;
    last = (char *)regs[REG_RIP] - begin;
    if (steps < 40)
        say("%+ld ", last);
}

static void quiet(int signo, siginfo_t *info, void *context) { (void)signo, (void)info, (void)context; }

int main(void)
{
    on(SIGTRAP, handler, 0);
    on(SIGUSR1, quiet, 0);
    __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0\n"
                     "pushfq; orl $0x100, (%%rsp); popfq\n"
                     "1: nop; inc %%ecx; jmp 2f; nop\n"
                     "2: mov $39, %%eax\n"
                     "syscall\n"
                     "nop\n"
                     "pushfq; andl $~0x100, (%%rsp); popfq; nop; nop"
                     : "=m"(begin) : : "rax", "rcx", "r11", "memory", "cc");
    say("\n%ld steps, %ld traced\n", steps, traced);
    uint64_t flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    say("TF %d\n", (int)(flags >> 8 & 1));
    return 0;
}
