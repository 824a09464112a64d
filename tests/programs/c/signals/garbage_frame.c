/* What does sigreturn(2) make of a frame that the handler has filled with garbage? */
#include "say.h"

static int what;

static void handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)signo, (void)info;
    greg_t *regs = uc->uc_mcontext.gregs;
    switch (what) {
    case 1: regs[REG_RIP] = 0x8000000000000000; break;
    case 2: regs[REG_RIP] = 0; break;
    case 3: regs[REG_RSP] = 0x414141414000; regs[REG_RIP] = (greg_t)abort; break;
    case 4: regs[REG_CSGSFS] = 0; break;
    case 5: regs[REG_CSGSFS] |= 0xffff; break;
    case 6: uc->uc_mcontext.fpregs = (void *)8; break;
    case 7: uc->uc_mcontext.fpregs = (void *)0xffff800000000000; break;
    case 8: uc->uc_mcontext.fpregs = 0; break;
    case 9: memset(&uc->uc_sigmask, 0xff, 8); break;
    case 10: regs[REG_EFL] = 0x3fffff & ~0x40100; break; /* but AC and TF */
    case 11: regs[REG_RIP] = 0xffffffff81000000; break;
    case 12: uc->uc_stack.ss_flags = 77; break;
    case 13: memset(uc, 0x41, 256); break;
    }
}

int main(void)
{
    on(SIGUSR1, handler, 0);
    for (what = 0; what <= 13; what++) {
        pid_t child = fork();
        if (child == 0) {
            raise(SIGUSR1);
            sigset_t mask;
            stack_t stack;
            sigprocmask(SIG_BLOCK, 0, &mask);
            sigaltstack(0, &stack);
            say("%d goes on, masked %d %d, stack %x\n", what, sigismember(&mask, SIGHUP), sigismember(&mask, SIGKILL),
                (unsigned)stack.ss_flags);
            _exit(0);
        }
        char name[20];
        snprintf(name, sizeof name, "%d", what);
        wait_and_say(name, child);
    }
    pid_t child = fork();
    if (child == 0) { /* with no frame at all */
        asm volatile("xor %%esp, %%esp; syscall" ::"a"(15) : "rcx", "r11", "memory");
        _exit(1);
    }
    wait_and_say("no stack", child);
    return 0;
}
