/* One page per table: 4 KiB of tables for each page of zeros read, per 2 MiB and per 1 GiB. Tables are memory too. */
#include "bomb.h"

static int reads(long step)
{
    pid_t pid = fork();
    if (!pid) {
        char *memory = mmap(0, 100l << 40, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (long i = 0; i < 100l << 40; i += step)
            (void)*(volatile char *)&memory[i];
        _exit(3);
    }
    return pid;
}

int main(void)
{
    ended("per 2 MiB", reads(2l << 20));
    ended("per 1 GiB", reads(1l << 30));
    return 0;
}
