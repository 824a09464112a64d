/* Do si_code and si_addr tell missing from forbidden, to the byte, and can siglongjmp leave the handler again and again? */
#include "say.h"

static sigjmp_buf out;
static int code;
static char *address;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(out, signo);
}

static void probe(const char *what, char *base, long offset, int write)
{
    int signo = sigsetjmp(out, 1);
    if (signo == 0) {
        volatile char *at = base + offset;
        if (write)
            *at = 1;
        else
            (void)*at;
        say("%s: fine\n", what);
        return;
    }
    say("%s: signal %d, %s, offset %ld\n", what, signo, code == SEGV_MAPERR ? "MAPERR" : code == SEGV_ACCERR ? "ACCERR" : "?",
        (long)(address - base));
}

int main(void)
{
    on(SIGSEGV, handler, 0);
    char *map = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map + 4096, 4096);
    mprotect(map + 8192, 4096, PROT_READ);
    probe("null", 0, 0, 0);
    probe("null, write", 0, 0, 1);
    probe("near null", 0, 0x1fff, 0);
    probe("mapped", map, 4095, 1);
    probe("hole", map, 4096, 0);
    probe("hole, write", map, 4097, 1);
    probe("read only", map, 8192, 0);
    probe("read only, write", map, 12287, 1);
    mprotect(map + 8192, 4096, PROT_NONE);
    probe("none", map, 8200, 0);
    probe("kernel half", (char *)0xffff800000000000, 5, 0);
    probe("text, write", (char *)main, 0, 1);
    int count = 0;
    for (volatile int i = 0; i < 500; i++)
        if (sigsetjmp(out, 1) == 0)
            *(volatile int *)(uintptr_t)(i * 8) = 1;
        else
            count++;
    say("%d times out\n", count);
    return 0;
}
