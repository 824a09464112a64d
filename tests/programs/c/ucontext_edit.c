/* May a handler change the interrupted registers: RIP to skip an instruction, RAX as its result, the flags? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)info;
    regs[REG_RIP] += signo == SIGSEGV ? 3 : 2;
    regs[REG_RAX] = 0x1234567890;
    regs[REG_EFL] |= 1 | 0x200000; /* CF may be set; ID may not (Linux FIX_EFLAGS) */
    regs[REG_RBX] = 77;
    say("signal %d: trapno %lld err %lld cs %llx\n", signo, (long long)regs[REG_TRAPNO], (long long)regs[REG_ERR],
        (long long)regs[REG_CSGSFS] & 0xffff);
}

int main(void)
{
    uint64_t result, rbx, flags;
    on(SIGSEGV, handler, 0);
    on(SIGILL, handler, 0);
    __asm__ volatile("clc; mov $8, %%ecx; mov (%%rcx), %%rax; pushfq; pop %2"
                     : "=a"(result), "=b"(rbx), "=r"(flags) : : "rcx", "cc");
    say("%llx %llu CF %d ID %d\n", (long long)result, (long long)rbx, (int)(flags & 1), (int)(flags >> 21 & 1));
    result = 0;
    __asm__ volatile("ud2" : "+a"(result), "=b"(rbx));
    say("%llx %llu\n", (long long)result, (long long)rbx);
    return 0;
}
