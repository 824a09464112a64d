/* Does every node of a binary tree of processes see its own path and count its own subtree? */
#include "say.h"

static int grow(int depth)
{
    int total = 1, status;
    if (depth == 0)
        return total;
    for (int side = 0; side < 2; side++) {
        pid_t pid = fork();
        if (pid < 0)
            _exit(99);
        if (pid == 0)
            _exit(grow(depth - 1));
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
            _exit(98);
        total += WEXITSTATUS(status);
    }
    return total;
}

int main(void)
{
    int total = grow(5);
    say("%d processes\n", total);
    return total != 63;
}
