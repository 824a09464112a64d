/* What do MAP_FIXED, MAP_FIXED_NOREPLACE, hints and partial munmap do to what is already there? */
#include "say.h"

#define PAGE 4096
#define KIND (MAP_PRIVATE | MAP_ANONYMOUS)

int main(void)
{
    char *area = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, KIND, -1, 0);
    memset(area, 'o', 8 * PAGE);
    char *middle = mmap(area + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, KIND | MAP_FIXED, -1, 0);
    say("replaced: %d, %c %d %d %c\n", middle == area + 2 * PAGE, area[PAGE], area[2 * PAGE], area[3 * PAGE], area[4 * PAGE]);
    say("no replace: %d", mmap(area, PAGE, 3, KIND | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    munmap(area + 5 * PAGE, PAGE);
    say("into the hole: %d\n", mmap(area + 5 * PAGE, PAGE, 3, KIND | MAP_FIXED_NOREPLACE, -1, 0) == area + 5 * PAGE);
    say("zero: %d\n", area[5 * PAGE]);
    char *hint = mmap(area, PAGE, 3, KIND, -1, 0);
    say("taken hint ignored: %d\n", hint != area && hint != MAP_FAILED);
    munmap(hint, PAGE);
    munmap(area + 6 * PAGE, PAGE);
    say("free hint honoured: %d\n", mmap(area + 6 * PAGE, PAGE, 3, KIND, -1, 0) == area + 6 * PAGE);
    errno = 0;
    say("length 0: %d", mmap(0, 0, 3, KIND, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("too long: %d", mmap(0, 1ul << 47, 3, KIND, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("fixed, not aligned: %d", mmap((void *)0x12345678, PAGE, 3, KIND | MAP_FIXED, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("neither shared nor private: %d", mmap(0, PAGE, 3, MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("bad fd: %d", mmap(0, PAGE, 3, MAP_PRIVATE, 77, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    try(munmap(area + 1, PAGE));
    try(munmap(area, 0));
    try(munmap(area, 8 * PAGE));
    try(munmap(area, 8 * PAGE));
    char *low = mmap(0, PAGE, 3, KIND | MAP_32BIT, -1, 0);
    say("MAP_32BIT below 2 GiB: %d\n", (uintptr_t)low < 1ul << 31);
    return 0;
}
