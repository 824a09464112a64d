/* Does mremap grow, shrink and move memory with its content, and refuse what it must? */
#include "say.h"

#define PAGE 4096

int main(void)
{
    char *area = mmap(0, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++)
        area[i * PAGE] = 'a' + i;
    munmap(area + 4 * PAGE, 12 * PAGE);
    char *next = mmap(area + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    next[0] = 'n';
    say("in the way: %d", mremap(area, 2 * PAGE, 8 * PAGE, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    char *moved = mremap(area, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    say("moved: %d, %c%c%c%c, new pages %d\n", moved != area, moved[0], moved[PAGE], moved[2 * PAGE], moved[3 * PAGE],
        moved[7 * PAGE]);
    say("neighbour %c\n", next[0]);
    say("shrink: %d\n", mremap(moved, 8 * PAGE, PAGE, 0) == moved);
    try(msync(moved + PAGE, PAGE, MS_ASYNC));
    char *target = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    target[0] = 't';
    say("fixed: %d, %c\n", mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target, target[0]);
    say("old place: %d", mremap(moved, PAGE, PAGE, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("not aligned: %d", mremap(target + 1, PAGE, PAGE, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("to length 0: %d", mremap(target, PAGE, 0, MREMAP_MAYMOVE) == MAP_FAILED);
    say(" errno %d\n", errno);
    pid_t child = fork();
    if (child == 0) {
        char *mine = mremap(target, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
        mine[0]++;
        _exit(mine[0]);
    }
    wait_and_say("child", child);
    say("parent %c\n", target[0]);
    char *shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *twin = mremap(shared, 0, PAGE, MREMAP_MAYMOVE);
    shared[5] = 's';
    say("twin of a shared mapping: %d %c\n", twin != MAP_FAILED && twin != shared, twin[5]);
    return 0;
}
