/* Pipes, each as large as may be and full, in many processes. */
#include "bomb.h"

static void fill(int report)
{
    static char block[1 << 16];
    int ends[2], count = 0, error = 0;
    while (!pipe2(ends, O_NONBLOCK)) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        while (write(ends[1], block, sizeof block) > 0)
            ;
        error = errno;
        count++;
    }
    if (report)
        say("pipes: %s, writes: %s, some %d\n", name_of(errno), name_of(error), count > 50);
}

int main(void)
{
    int ready[2];
    char byte;
    pipe(ready);
    for (int i = 0; i < 16; i++) {
        if (fork())
            continue;
        fill(!i);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    while (read(ready[0], &byte, 1) > 0)
        ;
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(0) > 0)
        ;
    say("gone\n");
    return 0;
}
