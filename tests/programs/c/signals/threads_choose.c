/* Which thread takes a signal of its process, its own, and a fault's? */
#include "say.h"
#include <pthread.h>

static __thread int me;
static volatile int taken[4];
static pthread_barrier_t gate;
static int ends[2];

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info;
    say("thread %d takes %d\n", me, signo);
    taken[me]++;
    if (signo == SIGSEGV)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* over the load */
    write(ends[1], "t", 1);
}

static void *run(void *number)
{
    char byte;
    sigset_t set;
    me = (int)(long)number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (me == 1)
        pthread_sigmask(SIG_BLOCK, &set, 0);
    else
        pthread_sigmask(SIG_UNBLOCK, &set, 0);
    pthread_barrier_wait(&gate);
    while (read(ends[0], &byte, 1) != 1 || byte != 'q')
        ;
    return 0;
}

int main(void)
{
    pthread_t one, two;
    sigset_t set;
    char byte;
    pipe(ends);
    on(SIGUSR1, handler, SA_RESTART);
    on(SIGUSR2, handler, SA_RESTART);
    on(SIGSEGV, handler, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    pthread_barrier_init(&gate, 0, 3);
    pthread_create(&one, 0, run, (void *)1);
    pthread_create(&two, 0, run, (void *)2);
    pthread_barrier_wait(&gate);
    kill(getpid(), SIGUSR1); /* only thread 2 lets it in */
    while (!taken[2])
        rest(1);
    kill(getpid(), SIGUSR2); /* all do: the first thread is asked first */
    while (!taken[0])
        rest(1);
    pthread_kill(one, SIGUSR2);
    while (!taken[1])
        rest(1);
    asm volatile("xor %%eax, %%eax; movb (%%rax), %%al" ::: "rax", "memory");
    say("taken: %d %d %d\n", taken[0], taken[1], taken[2]);
    pthread_kill(one, SIGUSR1); /* blocked there: stays, and goes with the thread */
    (void)byte;
    write(ends[1], "qq", 2);
    pthread_join(one, 0);
    pthread_join(two, 0);
    say("done\n");
    return 0;
}
