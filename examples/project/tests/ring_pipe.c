/* A parent passes its arguments to a child through a ring; both count what they did. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* By fork(2), or as a test says: fork, odfork or sfork, the only one that looks at these arguments. */
static pid_t make_child(void)
{
    const char *call = getenv("FORK_CALL");
    void *region;
    return syscall(call ? atoi(call) : SYS_fork, 4096L, 3L, &region);
}

int main(int argc, char **argv)
{
    struct ring *ring = ring_new();
    if (!ring)
        return 10;
    for (int i = 1; i < argc; i++)
        if (ring_put(ring, argv[i], strlen(argv[i])) != strlen(argv[i]))
            return 11;
    pid_t child = make_child();
    if (child < 0)
        return 12;
    for (int i = 0; i < 20; i++)
        ring_count(ring);
    if (!child) {
        char text[64];
        size_t n = ring_take(ring, text, sizeof text);
        text[n++] = '\n';
        write(1, text, n);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    long counted = ring_counted(ring);
    ring_free(ring);
    return status || counted != 40 ? 13 : 0;
}
