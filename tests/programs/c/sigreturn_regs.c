/* Does returning from a handler bring back every general register, the flags, xmm0-15, MXCSR and the x87 state? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm1; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm8\n"
                     "movdqa %%xmm0, %%xmm15; fninit; fldpi; fldpi; std; cld; stc\n"
                     "fstp %%st(0); fstp %%st(0)\n" ::: "xmm0", "xmm1", "xmm7", "xmm8", "xmm15", "cc");
    unsigned strange = 0x7f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(strange));
}

struct state {
    uint64_t general[10]; /* 0 */
    uint8_t xmm[5][16];   /* 80: xmm0, 1, 7, 8, 15 */
    uint64_t flags;       /* 160 */
    uint64_t pid;         /* 168 */
};

struct state before, after;
static const double one_third = 1.0 / 3;
static const int used[] = {0, 1, 7, 8, 15};

/* kill(pid, SIGUSR1) with a value in every register; r15 is `before`, rbp stays the compiler's. */
static void __attribute__((noinline)) experiment(void)
{
    register struct state *state __asm__("r15") = &before;
    __asm__ volatile(
        "movdqu 80(%0), %%xmm0; movdqu 96(%0), %%xmm1; movdqu 112(%0), %%xmm7; movdqu 128(%0), %%xmm8\n"
        "movdqu 144(%0), %%xmm15; mov 168(%0), %%rdi\n"
        "mov $10, %%esi; mov $0x1111, %%ebx; mov $0x2222, %%edx; mov $0x3333, %%r8d; mov $0x4444, %%r9d\n"
        "mov $0x5555, %%r10d; mov $0x6666, %%r12d; mov $0x7777, %%r13d; mov $0x8888, %%r14d\n"
        "mov $62, %%eax; std; stc\n"
        "syscall\n"
        "pushfq; cld; pop %%rax; lea after(%%rip), %0; mov %%rax, 160(%0)\n"
        "mov %%rbx, (%0); mov %%rdx, 8(%0); mov %%r8, 16(%0); mov %%r9, 24(%0); mov %%r10, 32(%0)\n"
        "mov %%r12, 40(%0); mov %%r13, 48(%0); mov %%r14, 56(%0); mov %%rdi, 64(%0); mov %%rsi, 72(%0)\n"
        "movdqu %%xmm0, 80(%0); movdqu %%xmm1, 96(%0); movdqu %%xmm7, 112(%0); movdqu %%xmm8, 128(%0)\n"
        "movdqu %%xmm15, 144(%0)\n"
        : "+r"(state)
        :
        : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory", "cc",
          "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
}

int main(void)
{
    uint32_t mxcsr = 0x3f80;
    uint16_t control = 0x0e7f;
    double top;
    on(SIGUSR1, handler, 0);
    for (int i = 0; i < 80; i++)
        before.xmm[0][i] = i * 3 + 1;
    before.pid = getpid();
    __asm__ volatile("ldmxcsr %0; fldcw %1; fldl %2" ::"m"(mxcsr), "m"(control), "m"(one_third));
    experiment();
    __asm__ volatile("stmxcsr %0; fnstcw %1; fstpl %2; fninit" : "=m"(mxcsr), "=m"(control), "=m"(top));
    for (int i = 0; i < 8; i++)
        say("%lx ", (unsigned long)after.general[i]);
    say("pid %d sig %lu\n", after.general[8] == before.pid, (unsigned long)after.general[9]);
    for (int i = 0; i < 5; i++)
        say("xmm%d %s\n", used[i], memcmp(before.xmm[i], after.xmm[i], 16) ? "lost" : "kept");
    say("DF %d CF %d\n", (int)(after.flags >> 10 & 1), (int)(after.flags & 1));
    say("mxcsr %x control %x top %d\n", mxcsr, control, top == one_third);
    return 0;
}
