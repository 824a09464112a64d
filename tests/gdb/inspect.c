/* What a debugger meets in C: a call, a thread, a signal, a store, a vfork. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int got, shared;
static long table[8];

static void handler(int signo)
{
    got = signo;
}

static void *worker(void *p)
{
    shared += 7;
    return p;
}

static int add(int a, int b)
{
    int c = a + b;
    return c;
}

int main(int argc, char **argv)
{
    int sum = add(2, argc + 2);
    pthread_t thread;
    int status;

    (void)argv;
    signal(SIGUSR1, handler);
    pthread_create(&thread, 0, worker, &sum);
    pthread_join(thread, 0);
    raise(SIGUSR1);
    table[3] = 42;
    if (vfork() == 0)
        _exit(4);
    wait(&status);
    return WEXITSTATUS(status);
}
