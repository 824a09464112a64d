/* The classic: every process forks as long as it can, its children too. Once one fails, all end. */
#include "bomb.h"

int main(void)
{
    volatile int *failed = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t first = getpid();
    while (!*failed) {
        if (fork() < 0) {
            *failed = errno;
            break;
        }
    }
    int count = 0;
    while (wait(0) > 0)
        count++;
    if (getpid() != first)
        return 0;
    say("fork: %s, waited for some of its own %d\n", name_of(*failed), count > 2);
    return 0;
}
