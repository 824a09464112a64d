/* Open files: up to the limit of a process, then in many processes. */
#include "bomb.h"

static int fill(void)
{
    int count = 0;
    while (open("/dev/null", O_RDONLY) >= 0)
        count++;
    return count;
}

int main(void)
{
    int ready[2], count;
    char byte;
    struct rlimit more = {1 << 20, 1 << 20};
    count = fill();
    say("a process: %s, %s\n", name_of(errno), count == 1021 ? "1024 with the standard three" : "?");
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    pipe(ready);
    for (int i = 0; i < 8; i++) {
        if (fork())
            continue;
        setrlimit(RLIMIT_NOFILE, &more);
        fill();
        if (!i)
            say("many: %s\n", errno == ENFILE || errno == ENOMEM ? "no memory" : name_of(errno));
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    while (read(ready[0], &byte, 1) > 0)
        ; /* until each is full, or dead */
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(0) > 0)
        ;
    say("gone\n");
    return 0;
}
