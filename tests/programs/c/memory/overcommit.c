/* Which sizes does mmap refuse, with which errno, when nothing is reserved but the absurd is refused? */
#include "say.h"

#define map(size, prot, flags) (mmap(0, size, prot, MAP_ANONYMOUS | (flags), -1, 0) == MAP_FAILED ? -1 : 0)

int main(void)
{
    char text[4] = "";
    int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY);
    read(fd, text, 1);
    say("mode %s\n", text);
    try(map(1ul << 43, PROT_READ | PROT_WRITE, MAP_PRIVATE)); /* 8 TiB */
    try(map(1ul << 43, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE));
    try(map(1ul << 43, PROT_READ, MAP_PRIVATE));
    try(map(1ul << 47, PROT_READ, MAP_PRIVATE | MAP_NORESERVE));
    try(map(-4096ul, PROT_READ, MAP_PRIVATE | MAP_NORESERVE));
    try(map(0, PROT_READ, MAP_PRIVATE));
    try(map(1ul << 43, PROT_READ | PROT_WRITE, MAP_SHARED));
    char *p = mmap(0, 1ul << 43, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    try(mprotect(p, 1ul << 43, PROT_READ | PROT_WRITE));
    try(mprotect(p, 1ul << 20, PROT_READ | PROT_WRITE));
    p[0] = 1;
    char *heap = sbrk(0);
    try(brk(heap + (1ul << 42)));
    say("%d\n", heap == sbrk(0));
    return 0;
}
