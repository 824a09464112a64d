/* Memory that may be mapped by huge pages, split, moved, shared by fork and put together again: whatever the kernel
 * makes of it, the bytes are these. The first argument is the advice, as a number. */
#include "../c/say.h"
#include <sys/mman.h>

#define HUGE (2ul << 20)
#define N 4

static unsigned char *area;
static int advice;

static unsigned long sum(unsigned char *p, size_t n)
{
    unsigned long hash = 14695981039346656037ul;
    for (size_t i = 0; i < n; i += 64)
        hash = (hash ^ *(unsigned long *)(p + i)) * 1099511628211ul;
    return hash;
}

static void fill(unsigned char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i += 512)
        p[i] = (unsigned char)(seed += 7);
}

static void child(const char *who, void (*act)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        act();
        say("%s child %016lx\n", who, sum(area, N * HUGE));
        fflush(stdout);
        _exit(0);
    }
    wait_and_say(who, pid);
    say("%s parent %016lx\n", who, sum(area, N * HUGE));
}

static void nothing(void)
{
}

static void write_one(void)
{
    area[HUGE + 4096 * 3 + 1] ^= 0xff;
}

static void write_everywhere(void)
{
    fill(area, N * HUGE, 3);
}

static void grandchild(void)
{
    area[0] = 1;
    child("grandchild", write_one);
    area[HUGE] = 2;
}

static void cut(void)
{
    try(munmap(area + HUGE - 8192, 16384));
    try(mmap(area + HUGE - 8192, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    madvise(area + HUGE - 8192, 16384, advice);
}

static void forget(void)
{
    try(madvise(area + 4096, HUGE, MADV_DONTNEED));
    try(madvise(area + 2 * HUGE, HUGE, MADV_DONTNEED));
}

static void protect(void)
{
    try(mprotect(area, HUGE + 4096, PROT_READ));
    try(mprotect(area + 2 * HUGE, HUGE, PROT_NONE));
    try(mprotect(area, N * HUGE, PROT_READ | PROT_WRITE));
    area[5] = 5;
    area[2 * HUGE + 5] = 6;
}

static void move_to(unsigned char *to, size_t n)
{
    unsigned char *got = mremap(area, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    if (got == MAP_FAILED) {
        say("mremap: errno %d\n", errno);
        return;
    }
    say("moved %016lx\n", sum(got, n));
    got = mremap(to, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, area);
    say("back %d\n", got == area);
}

static void move(void)
{
    move_to(area + 16 * HUGE, 2 * HUGE);
    move_to(area + 16 * HUGE + 4096, HUGE);
}

static void kernel(void)
{
    int fd[2];
    try(pipe(fd));
    say("wrote %ld\n", (long)write(fd[1], area + HUGE - 100, 200));
    say("read %ld\n", (long)read(fd[0], area + 3 * HUGE - 100, 200));
    close(fd[0]);
    close(fd[1]);
}

int main(int argc, char **argv)
{
    unsigned char *all = mmap((void *)0x10000000000, 32 * HUGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    area = all + HUGE;
    advice = argc > 1 ? atoi(argv[1]) : MADV_NORMAL;
    madvise(all, 32 * HUGE, advice);
    fill(area, N * HUGE, 1);
    say("filled %016lx\n", sum(area, N * HUGE));
    static const struct {
        const char *name;
        void (*act)(void);
    } acts[] = {
        {"nothing", nothing}, {"one", write_one},     {"all", write_everywhere}, {"grand", grandchild}, {"cut", cut},
        {"forget", forget},   {"protect", protect},   {"move", move},            {"kernel", kernel},
    };
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        child(acts[i].name, acts[i].act);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        acts[i].act();
        say("%s here %016lx\n", acts[i].name, sum(area, N * HUGE));
        child("after", write_one);
        if (i == 5)
            fill(area, N * HUGE, 9);
    }
    return 0;
}
