/* Do FUTEX_WAKE, the bitsets, REQUEUE and WAKE_OP wake exactly those they should, in the order they came? */
#include "say.h"
#include "futex.h"
#include <pthread.h>

static uint32_t word, other, woken[8], count;
static int sleeping;

static long futex(uint32_t *address, int op, uint32_t value, long timeout, uint32_t *address2, uint32_t value3)
{
    return syscall(SYS_futex, address, op | FUTEX_PRIVATE_FLAG, value, timeout, address2, value3);
}

static void *waiter(void *argument)
{
    uint32_t id = (long)argument;
    __atomic_add_fetch(&sleeping, 1, __ATOMIC_SEQ_CST);
    futex(&word, FUTEX_WAIT_BITSET, 0, 0, 0, 1u << id);
    woken[__atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST)] = id;
    return 0;
}

/* Start threads one after the other; each is asleep before the next starts. */
static void start(pthread_t *threads, int from, int to)
{
    for (int id = from; id < to; id++) {
        pthread_create(&threads[id], 0, waiter, (void *)(long)id);
        while (__atomic_load_n(&sleeping, __ATOMIC_SEQ_CST) != id + 1)
            sched_yield();
        rest(20);
    }
}

static void settle(uint32_t expected)
{
    while (__atomic_load_n(&count, __ATOMIC_SEQ_CST) != expected)
        sched_yield();
    say("woken:");
    for (uint32_t i = 0; i < expected; i++)
        say(" %u", woken[i]);
    say("\n");
}

int main(void)
{
    pthread_t threads[8];
    start(threads, 0, 8);
    try(futex(&word, FUTEX_WAKE, 1, 0, 0, 0));
    settle(1);
    try(futex(&word, FUTEX_WAKE_BITSET, 9, 0, 0, 1u << 5));
    settle(2);
    try(futex(&word, FUTEX_WAKE_BITSET, 9, 0, 0, 1u << 5));
    try(futex(&word, FUTEX_WAKE, 0, 0, 0, 0));
    settle(3);
    try(futex(&word, FUTEX_CMP_REQUEUE, 1, 2, &other, 0));
    settle(4);
    try(futex(&other, FUTEX_WAKE_BITSET, 9, 0, 0, 1u << 3));
    settle(5);
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
    while (__atomic_load_n(&count, __ATOMIC_SEQ_CST) != 7)
        sched_yield();
    say("other %u\n", other);
    try(futex(&word, FUTEX_WAKE, 100, 0, 0, 0));
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], 0);
    say("all: %u\n", count);
    return 0;
}
