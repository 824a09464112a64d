/* Is MAP_SHARED|MAP_ANONYMOUS one memory for a whole family, before and after each write, and gone with munmap? */
#include "say.h"

int main(void)
{
    volatile int *shared = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int *private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared[0] = private[0] = 1;
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            for (int n = 0; n < 1000; n++)
                __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
            shared[1024 * (i + 1)] = i + 100; /* a page nobody has touched yet */
            private[0] += i;
            _exit(0);
        }
    while (wait(0) > 0)
        ;
    say("counter %d, private %d\n", shared[0], private[0]);
    for (int i = 0; i < 8; i++)
        say("%d ", shared[1024 * (i + 1)]);
    say("\n");
    pid_t child = fork();
    if (child == 0) {
        munmap((void *)shared, 1 << 20);
        _exit(0);
    }
    wait_and_say("child unmaps", child);
    say("still %d\n", shared[0]);
    return 0;
}
