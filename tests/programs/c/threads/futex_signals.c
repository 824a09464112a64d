/* What does a handler do to a thread that waits on a futex: EINTR, restart, or wait on, with and without a timeout? */
#include "say.h"
#include "futex.h"
#include <pthread.h>

static uint32_t word, lock;
static volatile int handled, waiting;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    handled++;
}

struct plan {
    const char *what;
    int op, timed;
};

static void *waiter(void *argument)
{
    struct plan *plan = argument;
    struct timespec hour = {3600, 0}, far = {1ll << 40, 0};
    struct timespec *until = !plan->timed ? 0 : plan->op == FUTEX_WAIT ? &hour : &far;
    waiting = 1;
    long result = syscall(SYS_futex, plan->op == FUTEX_LOCK_PI ? &lock : &word, plan->op | FUTEX_PRIVATE_FLAG, 0, until,
        0, FUTEX_BITSET_MATCH_ANY);
    say("%s: %ld, errno %d, handled %d\n", plan->what, result, result ? errno : 0, handled);
    if (plan->op == FUTEX_LOCK_PI)
        syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0);
    return 0;
}

static void run(const char *what, int op, int timed, int flags)
{
    struct plan plan = {what, op, timed};
    pthread_t thread;
    on(SIGUSR1, handler, flags);
    handled = waiting = 0;
    word = 0;
    if (op == FUTEX_LOCK_PI)
        syscall(SYS_futex, &lock, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0);
    pthread_create(&thread, 0, waiter, &plan);
    while (!waiting)
        sched_yield();
    rest(30);
    pthread_kill(thread, SIGUSR1);
    rest(30);
    if (op == FUTEX_LOCK_PI)
        syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0);
    else
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    pthread_join(thread, 0);
}

int main(void)
{
    run("wait", FUTEX_WAIT, 0, 0);
    run("wait, SA_RESTART", FUTEX_WAIT, 0, SA_RESTART);
    run("timed wait", FUTEX_WAIT, 1, 0);
    run("timed wait, SA_RESTART", FUTEX_WAIT, 1, SA_RESTART);
    run("timed bitset wait, SA_RESTART", FUTEX_WAIT_BITSET, 1, SA_RESTART);
    run("lock", FUTEX_LOCK_PI, 0, 0);
    run("timed lock", FUTEX_LOCK_PI, 1, 0);
    return 0;
}
