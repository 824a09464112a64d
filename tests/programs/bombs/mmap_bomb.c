/* Mappings: too large, then as many addresses as there are, then as many areas as may be, then all that in children. */
#include "bomb.h"

#define NEW(size, flags) mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (flags), -1, 0)

static int areas(void)
{
    int count = 0;
    for (;; count++) /* every other page differs, so none merges with the next */
        if (mmap(0, 4096, count & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return count;
}

int main(void)
{
    long size = 1l << 40, count = 0;
    say("1 TiB that is reserved: %s\n", NEW(size, 0) == MAP_FAILED ? name_of(errno) : "granted");
    while (NEW(size, MAP_NORESERVE) != MAP_FAILED)
        count++;
    say("1 TiB that is not: %s, some %d\n", name_of(errno), count > 100);
    count = areas();
    say("areas: %s, %s\n", name_of(errno), count > 65000 ? "65530 in all" : "fewer");
    int children = 0, error = 0;
    for (; children < 1000; children++) {
        pid_t pid = fork(); /* each copy of the areas takes kernel memory */
        if (pid < 0) {
            error = errno;
            break;
        }
        if (!pid)
            for (;;)
                pause();
    }
    say("copies: %s, few %d\n", error ? name_of(error) : "no end", children < 200);
    kill(0, SIGKILL);
    return 0;
}
