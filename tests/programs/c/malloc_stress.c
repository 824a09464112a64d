/* Does the C library's allocator, with its brk, mmap, mremap and munmap, keep 400 blocks of all sizes intact? */
/* checked once: many faults */
#include "say.h"

#define BLOCKS 400

int main(void)
{
    static unsigned char *blocks[BLOCKS];
    static unsigned sizes[BLOCKS];
    unsigned seed = 1, bad = 0;
    for (int round = 0; round < 6000; round++) {
        seed = seed * 1103515245 + 12345;
        unsigned i = (seed >> 8) % BLOCKS, size = (seed >> 4) % (round % 50 ? 3000 : 300000) + 1;
        for (unsigned n = 0; n < sizes[i]; n += 97)
            bad += blocks[i][n] != (unsigned char)(i + n);
        if (round % 3 == 0) {
            free(blocks[i]);
            blocks[i] = malloc(size);
        } else
            blocks[i] = realloc(blocks[i], size);
        sizes[i] = size;
        for (unsigned n = 0; n < size; n += 97)
            blocks[i][n] = i + n;
    }
    unsigned long total = 0;
    for (int i = 0; i < BLOCKS; i++)
        total += sizes[i];
    say("%u bad bytes in %lu\n", bad, total);
    unsigned char *zeros = calloc(1, 1 << 20);
    unsigned sum = 0;
    for (unsigned n = 0; n < 1 << 20; n += 512)
        sum += zeros[n];
    say("calloc sum %u\n", sum);
    return bad != 0;
}
