/* Do atomics order what threads see of one another, wherever they are preempted (message passing, store buffering)? */
#include "say.h"
#include <pthread.h>

enum { ROUNDS = 2000 };

static int data, flag, x, y, ticket, serving, owner;
static int seen[2][ROUNDS];

static void *sends(void *argument)
{
    for (int i = 1; i <= ROUNDS; i++) {
        data = i * 3;
        __atomic_store_n(&flag, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&flag, __ATOMIC_ACQUIRE) != -i)
            sched_yield();
    }
    return argument;
}

static void *receives(void *argument)
{
    long wrong = 0;
    for (int i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&flag, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        wrong += data != i * 3;
        __atomic_store_n(&flag, -i, __ATOMIC_RELEASE);
    }
    (void)argument;
    return (void *)wrong;
}

static void *stores_then_loads(void *argument)
{
    int me = (long)argument;
    for (int i = 0; i < ROUNDS; i++) {
        __atomic_store_n(me ? &y : &x, i + 1, __ATOMIC_SEQ_CST);
        seen[me][i] = __atomic_load_n(me ? &x : &y, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static void *takes_tickets(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        int mine = __atomic_fetch_add(&ticket, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&serving, __ATOMIC_ACQUIRE) != mine)
            sched_yield();
        if (owner++)
            abort();
        owner--;
        __atomic_store_n(&serving, mine + 1, __ATOMIC_RELEASE);
    }
    return argument;
}

static void *both(void *(*one)(void *), void *(*two)(void *))
{
    pthread_t threads[2];
    void *result;
    pthread_create(&threads[0], 0, one, (void *)0);
    pthread_create(&threads[1], 0, two, (void *)1);
    pthread_join(threads[0], 0);
    pthread_join(threads[1], &result);
    return result;
}

int main(void)
{
    say("messages that came before their data: %ld\n", (long)both(sends, receives));
    both(stores_then_loads, stores_then_loads);
    int back = 0;
    for (int i = 1; i < ROUNDS; i++)
        back += seen[0][i] < seen[0][i - 1] || seen[1][i] < seen[1][i - 1];
    say("steps back: %d\n", back);
    both(takes_tickets, takes_tickets);
    say("tickets: %d, served %d\n", ticket, serving);
    return 0;
}
