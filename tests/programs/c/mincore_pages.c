/* Which pages does mincore call resident: untouched, read, written, unmapped? */
#include "say.h"

static void show(const char *what, char *area, int pages)
{
    unsigned char vector[16] = {0};
    if (mincore(area, pages * 4096, vector)) {
        say("%s: errno %d\n", what, errno);
        return;
    }
    say("%s: ", what);
    for (int i = 0; i < pages; i++)
        say("%d", vector[i] & 1);
    say("\n");
}

int main(void)
{
    char *area = mmap(0, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    madvise(area, 8 * 4096, MADV_NOHUGEPAGE);
    show("fresh", area, 8);
    area[0] = area[3 * 4096] = 1;
    show("two written", area, 8);
    madvise(area, 4096, MADV_DONTNEED);
    show("one dropped", area, 8);
    munmap(area + 4 * 4096, 4096);
    show("with a hole", area, 8);
    show("before the hole", area, 4);
    show("not aligned", area + 1, 1);
    return 0;
}
