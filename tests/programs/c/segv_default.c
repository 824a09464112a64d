/* Which signal kills for which mistake, and what if SIGSEGV is blocked or ignored? */
#include "say.h"
#include <sys/resource.h>

static const char not_code[16];

static int call(int which)
{
    static const char ret = (char)0xc3;
    static char code[16] = {(char)0xc3};
    sigset_t set;
    switch (which) {
    case 0: *(volatile int *)16 = 1; break;
    case 1: *(volatile char *)(uintptr_t)&ret = 1; break;
    case 2: ((void (*)(void))(uintptr_t)code)(); break;
    case 3: ((void (*)(void))0)(); break;
    case 4: *(volatile int *)0x8000000000000000 = 1; break;
    case 5: __asm__ volatile("hlt"); break;
    case 6: __asm__ volatile("ud2"); break;
    case 7: __asm__ volatile("int3"); break;
    case 8: __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "rax", "rcx", "rdx"); break;
    case 9:
        sigfillset(&set);
        sigprocmask(SIG_BLOCK, &set, 0);
        *(volatile int *)16 = 1;
        break;
    case 10:
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)16 = 1;
        break;
    case 11: ((void (*)(void))0x8000000000000000)(); break;
    case 12: __asm__ volatile("mov $16, %%rsp; push %%rax" ::: "memory"); break;
    case 13: __asm__ volatile("int $0x21"); break;
    case 14:
        on(SIGSEGV, (void (*)(int, siginfo_t *, void *))16, 0);
        *(volatile int *)16 = 1;
        break;
    case 15:
        on(SIGUSR1, (void (*)(int, siginfo_t *, void *))(uintptr_t)not_code, 0);
        __asm__ volatile("mov $8, %%rsp; mov $62, %%eax; mov %0, %%edi; mov $10, %%esi; syscall" ::"r"(getpid()) : "memory");
        break;
    }
    return 0;
}

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int which = 0; which <= 15; which++) {
        char name[16];
        snprintf(name, sizeof name, "case %d", which);
        pid_t child = fork();
        if (child == 0)
            _exit(call(which));
        wait_and_say(name, child);
    }
    return 0;
}
