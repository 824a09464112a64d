/* Which accesses does each protection allow, after mprotect back and forth, in parent and child? */
#include "say.h"

static sigjmp_buf out;
static char *area;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    siglongjmp(out, info->si_code);
}

static void rights(const char *who, int prot)
{
    char line[4] = "---";
    if (sigsetjmp(out, 1) == 0) {
        (void)*(volatile char *)area;
        line[0] = 'r';
    }
    if (sigsetjmp(out, 1) == 0) {
        *(volatile char *)area = (char)0xc3;
        line[1] = 'w';
    }
    if (sigsetjmp(out, 1) == 0) {
        ((void (*)(void))(uintptr_t)area)();
        line[2] = 'x';
    }
    say("%s, prot %d: %s\n", who, prot, line);
}

int main(void)
{
    static const int order[] = {3, 1, 3, 0, 7, 5, 3, 4, 2, 7, 1};
    on(SIGSEGV, handler, 0);
    area = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    area[0] = (char)0xc3;
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
        if (order[i] == 4)
            continue; /* execute only: protection keys, where the host has them */
        mprotect(area, 4096, order[i]);
        rights("parent", order[i]);
    }
    mprotect(area, 4096, 3);
    pid_t child = fork();
    if (child == 0) {
        mprotect(area, 4096, 1);
        rights("child", 1);
        mprotect(area, 4096, 3);
        rights("child", 3);
        _exit(0);
    }
    wait_and_say("child", child);
    rights("parent", 3);
    try(syscall(SYS_mprotect, area + 1, 4096, 1));
    try(mprotect(area, 4096, 1 << 30));
    munmap(area, 4096);
    try(mprotect(area, 4096, 1));
    try(mprotect(area, 0, 1));
    return 0;
}
