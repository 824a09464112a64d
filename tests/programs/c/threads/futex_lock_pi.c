/* Who owns a lock of FUTEX_LOCK_PI, who inherits it, and which mistakes does the kernel notice? */
#include "say.h"
#include "futex.h"
#include <pthread.h>

static uint32_t lock, second, step;

static long pi(uint32_t *word, int op)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);
}

static pid_t self(void)
{
    return syscall(SYS_gettid);
}

static void at(uint32_t n)
{
    while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) != n)
        sched_yield();
}

static void next(void)
{
    __atomic_add_fetch(&step, 1, __ATOMIC_SEQ_CST);
}

static void *other(void *argument)
{
    struct timespec past = {1, 0};
    at(1);
    try(pi(&lock, FUTEX_TRYLOCK_PI));
    try(pi(&lock, FUTEX_UNLOCK_PI));
    try(syscall(SYS_futex, &lock, FUTEX_LOCK_PI_PRIVATE, 0, &past, 0, 0));
    say("waiters marked: %d\n", (lock & FUTEX_WAITERS) != 0);
    try(pi(&second, FUTEX_LOCK_PI));
    next();
    long got = pi(&lock, FUTEX_LOCK_PI); /* waits for the first thread to give it up */
    at(3);
    say("inherited: %ld %d\n", got, (lock & FUTEX_TID_MASK) == (uint32_t)self());
    try(pi(&lock, FUTEX_UNLOCK_PI));
    say("lock %x\n", lock);
    try(pi(&second, FUTEX_UNLOCK_PI));
    next();
    at(5);
    try(pi(&lock, FUTEX_LOCK_PI)); /* and ends with it */
    next();
    rest(50);
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, other, 0);
    try(pi(&lock, FUTEX_LOCK_PI));
    say("mine: %d\n", lock == (uint32_t)self());
    try(pi(&lock, FUTEX_LOCK_PI));
    try(pi(&lock, FUTEX_TRYLOCK_PI));
    next();
    at(2);
    rest(50); /* the other waits for `lock` now, and holds `second` */
    try(pi(&second, FUTEX_LOCK_PI)); /* so this would never end */
    try(syscall(SYS_futex, &lock, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    try(pi(&lock, FUTEX_UNLOCK_PI));
    next();
    at(4);
    say("free: %x\n", lock);
    try(pi(&lock, FUTEX_UNLOCK_PI));
    lock = 0x3ffffff0; /* nobody has that number */
    try(pi(&lock, FUTEX_LOCK_PI));
    lock = 0;
    next();
    at(6);
    try(pi(&lock, FUTEX_LOCK_PI)); /* its owner dies while this waits */
    say("died %d, mine %d\n", (lock & FUTEX_OWNER_DIED) != 0, (lock & FUTEX_TID_MASK) == (uint32_t)self());
    pthread_join(thread, 0);
    return 0;
}
