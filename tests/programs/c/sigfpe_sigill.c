/* What do division, undefined instructions and breakpoints report, and where does RIP stand? */
#include "say.h"

static volatile long rip_offset, addr_offset, code, trapno;
static char *mark;

static void skip(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    rip_offset = (char *)regs[REG_RIP] - mark;
    addr_offset = signo == SIGTRAP ? 0 : (char *)info->si_addr - mark;
    code = info->si_code;
    trapno = regs[REG_TRAPNO];
    if (signo != SIGTRAP)
        regs[REG_RIP] += 2;
}

#define CASE(name, before, instruction)                                                                                \
    do {                                                                                                               \
        __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0\n" before "\n1: " instruction "\n"                       \
                         : "=m"(mark) : : "rax", "rcx", "rdx", "memory", "cc");                                        \
        say("%s: code %ld trap %ld rip %+ld addr %+ld\n", name, code, trapno, rip_offset, addr_offset);                \
    } while (0)

int main(void)
{
    on(SIGFPE, skip, 0);
    on(SIGILL, skip, 0);
    on(SIGTRAP, skip, 0);
    CASE("div by zero", "xor %%ecx, %%ecx; mov $7, %%eax; xor %%edx, %%edx", "div %%ecx");
    CASE("idiv by zero", "xor %%ecx, %%ecx; mov $7, %%eax; cltd", "idiv %%ecx");
    CASE("idiv overflow", "mov $-1, %%ecx; mov $0x80000000, %%eax; cltd", "idiv %%ecx");
    CASE("div overflow", "mov $1, %%ecx; mov $1, %%edx; xor %%eax, %%eax", "div %%ecx");
    CASE("ud2", "", "ud2");
    CASE("int3", "", "int3");
    CASE("int 3, two bytes", "", ".byte 0xcd, 3");
    return 0;
}
