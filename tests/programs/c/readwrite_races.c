/* Does a writer that fills the pipe sleep until the reader takes some, in whole pages or not? */
#include "say.h"

int main(void)
{
    int ends[2];
    static char block[10000];
    if (pipe(ends))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (int i = 0; i < 30; i++) {
            memset(block, 'a' + i % 26, sizeof block);
            if (write(ends[1], block, sizeof block) != sizeof block)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    unsigned long total = 0, sum = 0;
    for (long n; (n = read(ends[0], block, 1 + total % 4999)) > 0; total += n)
        for (long i = 0; i < n; i++)
            sum = sum * 31 + block[i];
    say("%lu bytes, hash %lu\n", total, sum);
    wait_and_say("writer", child);
    return 0;
}
