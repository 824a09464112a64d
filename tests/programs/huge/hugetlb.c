/* MAP_HUGETLB: what may be done with such memory and what not, and what fork makes of it. */
#include "../c/say.h"
#include <sys/mman.h>

#define HUGE (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)

static volatile char *map(size_t length, int flags)
{
    void *p = mmap(NULL, length, RW, MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
    if (p == MAP_FAILED) {
        say("mmap: errno %d\n", errno);
        return NULL;
    }
    say("mapped, aligned %d\n", (unsigned long)p % HUGE == 0);
    return p;
}

static void in_child(const char *who, volatile char *p, int at, int value)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        say("%s child sees %d\n", who, p[at]);
        p[at] = value;
        say("%s child wrote %d\n", who, p[at]);
        fflush(stdout);
        _exit(0);
    }
    wait_and_say(who, pid);
    say("%s parent sees %d\n", who, p[at]);
}

static void rights(void)
{
    volatile char *p = map(3 * HUGE, MAP_PRIVATE);
    p[0] = 1;
    p[HUGE] = 2;
    p[2 * HUGE] = 3;
    try(munmap((char *)p, 4096));
    try(mprotect((char *)p + HUGE, 4096, PROT_READ));
    try(mprotect((char *)p + HUGE, HUGE, PROT_READ));
    try(madvise((char *)p + 4096, HUGE, MADV_DONTNEED));
    try(madvise((char *)p, HUGE, MADV_DONTNEED));
    try(madvise((char *)p, HUGE, MADV_FREE));
    try(mlock((char *)p, HUGE));
    say("%d %d %d\n", p[0], p[HUGE], p[2 * HUGE]);
    try(munmap((char *)p + HUGE, HUGE));
    say("%d %d\n", p[0], p[2 * HUGE]);
    say("grow: %d\n", mremap((char *)p, HUGE, 2 * HUGE, MREMAP_MAYMOVE) == MAP_FAILED ? errno : 0);
    try(munmap((char *)p, 3 * HUGE));
}

static void many(volatile char *p)
{
    pid_t pids[4];
    fflush(stdout);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int k = 0; k < 4; k++)
                p[k * HUGE + i] = (char)(10 * i + k);
            int good = 1;
            for (int k = 0; k < 4; k++)
                for (int j = 0; j < 4; j++)
                    good &= p[k * HUGE + j] == (j == i ? 10 * i + k : 0);
            _exit(good ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++)
        wait_and_say("one of many", pids[i]);
    say("parent %d\n", p[0] + p[HUGE + 1] + p[3 * HUGE + 3]);
}

int main(void)
{
    volatile char *private = map(4 * HUGE - 4096, MAP_PRIVATE), *shared = map(2 * HUGE, MAP_SHARED);
    many(private);
    private[5] = 1;
    shared[5] = 1;
    in_child("private", private, 5, 2);
    in_child("shared", shared, 5, 2);
    in_child("shared, first touch by the child", shared + HUGE, 9, 3);
    rights();
    map(1ul << 46, MAP_PRIVATE);
    map(HUGE, MAP_PRIVATE | 30 << 26);
    map(HUGE, MAP_PRIVATE | 25 << 26);
    volatile char *full = map(HUGE, MAP_PRIVATE | MAP_POPULATE | 21 << 26);
    full[HUGE - 1] = 7;
    in_child("populated", full, HUGE - 1, 8);
    return 0;
}
