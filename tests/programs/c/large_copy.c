/* Do string instructions and the C library move megabytes across page and fault boundaries unchanged? */
/* checked once: many faults */
#include "say.h"

int main(void)
{
    enum { size = 5 << 20 };
    unsigned char *from = mmap(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *to = mmap(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < size; i++)
        from[i] = i * 2654435761u >> 24;
    void *source = from + 3, *target = to + 5;
    unsigned long count = size - 100;
    __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
    say("rep movsb: %d, rest %lu\n", memcmp(from + 3, to + 5, size - 100), count);
    memmove(to + 100, to, size - 100);
    say("memmove: %d\n", memcmp(to + 105, from + 3, size - 205));
    target = to;
    count = size / 8;
    __asm__ volatile("rep stosq" : "+D"(target), "+c"(count) : "a"(0x4242424242424242ul) : "memory");
    unsigned long sum = 0;
    for (unsigned i = 0; i < size; i++)
        sum += to[i];
    say("rep stosq: %lu\n", sum);
    target = to + size - 1;
    source = from + size - 1;
    count = size / 2;
    __asm__ volatile("std; rep movsb; cld" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
    say("backwards: %d\n", memcmp(to + size / 2, from + size / 2, size / 2));
    to[size - 1] = 0;
    to[0] = 7;
    target = to;
    count = size;
    __asm__ volatile("repne scasb" : "+D"(target), "+c"(count) : "a"(0) : "cc");
    say("scan: %d\n", (unsigned char *)target > to);
    return 0;
}
