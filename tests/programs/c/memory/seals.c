/* What does mseal(2) protect a mapping from, and what still goes? */
#include "say.h"

#define MSEAL 462
#define PAGE 4096

int main(void)
{
    char *p = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[PAGE] = 1;
    try(syscall(MSEAL, p, PAGE, 1));
    try(syscall(MSEAL, p + 1, PAGE, 0));
    try(syscall(MSEAL, p, 0, 0));
    try(syscall(MSEAL, p, -PAGE, 0));
    munmap(p + 3 * PAGE, PAGE);
    try(syscall(MSEAL, p, 4 * PAGE, 0));
    try(syscall(MSEAL, p + PAGE, PAGE, 0));
    try(syscall(MSEAL, p + PAGE, PAGE, 0));
    try(munmap(p, 3 * PAGE));
    try(munmap(p + PAGE, PAGE));
    try(mprotect(p, 2 * PAGE, PROT_READ));
    p[PAGE] = 2; /* still writable */
    try(madvise(p + PAGE, PAGE, MADV_DONTNEED)); /* writable: allowed */
    say("dropped: %d\n", p[PAGE]);
    try((long)mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    try((long)mremap(p + PAGE, PAGE, 0, 0));
    try(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
    mprotect(p + 2 * PAGE, PAGE, PROT_READ);
    try(syscall(MSEAL, p + 2 * PAGE, PAGE, 0));
    try(madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED));
    try(madvise(p + 2 * PAGE, PAGE, MADV_WILLNEED));
    try(munmap(p, PAGE));
    pid_t child = fork();
    if (!child)
        _exit(munmap(p + PAGE, PAGE) ? errno : 0); /* a child's is sealed, too */
    wait_and_say("child", child);
    return 0;
}
