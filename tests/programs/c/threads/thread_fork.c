/* Does fork in a thread copy that thread alone, and does a vfork in a thread stop only that one? */
#include "say.h"
#include <pthread.h>

static volatile int spins, stop;
static __thread int mine = 1;

static void *spins_on(void *argument)
{
    while (!stop) {
        spins++;
        rest(1);
    }
    return argument;
}

static void *forks(void *argument)
{
    mine = 42;
    pid_t parent = getpid(), child = fork();
    if (!child) {
        int before = spins;
        rest(20);
        say("child: tid is pid %d, own %d, others stand still %d, parent %d\n", syscall(SYS_gettid) == getpid(), mine,
            before == spins, getppid() == parent);
        _exit(4);
    }
    wait_and_say("forked in a thread", child);
    int before = spins;
    child = vfork();
    if (!child) {
        while (spins < before + 10) /* shared memory: the other threads go on */
            rest(1);
        _exit(5);
    }
    say("vfork: others ran %d\n", spins >= before + 10);
    wait_and_say("vforked in a thread", child);
    return argument;
}

int main(void)
{
    pthread_t spinner, forker;
    pthread_create(&spinner, 0, spins_on, 0);
    pthread_create(&forker, 0, forks, 0);
    pthread_join(forker, 0);
    stop = 1;
    pthread_join(spinner, 0);
    return 0;
}
