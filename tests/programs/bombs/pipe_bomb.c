/* Pipes, each as large as may be and full, in many processes. */
#include "bomb.h"

static int fill(void)
{
    static char block[1 << 16] = {1};
    int ends[2], last = 0;
    while (!pipe2(ends, O_NONBLOCK)) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        while (write(ends[1], block, sizeof block) > 0)
            ;
        last = errno;
    }
    return last;
}

int main(void)
{
    int ready[2];
    char byte;
    pid_t pid = fork();
    if (!pid) {
        int last = fill();
        _exit((errno == EMFILE || errno == ENOMEM) && last == ENOMEM ? 7 : 8);
    }
    ended("one process", pid);
    pipe(ready);
    for (int i = 0; i < 16; i++) {
        if (fork())
            continue;
        fill();
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
