/* The classic: every process forks as long as it can. The last to fail ends, and so all do. */
#include "bomb.h"

int main(void)
{
    int failed[2];
    char byte = 0;
    pipe(failed);
    for (;;) {
        pid_t pid = fork();
        if (pid < 0)
            break;
    }
    int error = errno;
    write(failed[1], &byte, 1);
    if (getpid() != getsid(0)) {
        close(failed[1]);
        _exit(0);
    }
    say("fork: %s\n", name_of(error));
    close(failed[1]);
    int count = 0;
    while (read(failed[0], &byte, 1) == 1)
        count++;
    say("processes that failed: some %d\n", count > 50);
    while (wait(0) > 0)
        ;
    return 0;
}
