/* Connected sockets, each full, in many processes. */
#include "bomb.h"

int main(void)
{
    static char block[1 << 16];
    int ready[2];
    char byte;
    pipe(ready);
    for (int i = 0; i < 16; i++) {
        if (fork())
            continue;
        int ends[2], count = 0;
        while (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)) {
            for (int side = 0; side < 2; side++)
                while (write(ends[side], block, sizeof block) > 0)
                    ;
            count++;
        }
        if (!i)
            say("sockets: %s, some %d\n", errno == EMFILE || errno == ENOMEM ? "no more" : name_of(errno), count > 5);
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
