/* Do threads share memory and descriptors, synchronise through futexes, keep their own locals, and end with the process? */
#include "say.h"
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static __thread int own = 7;
static int counter, next;

static void *work(void *argument)
{
    long id = (long)argument;
    own += id;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    while (next != id)
        pthread_cond_wait(&turn, &lock);
    say("thread %ld: own %d\n", id, own);
    next++;
    pthread_cond_broadcast(&turn);
    pthread_mutex_unlock(&lock);
    return (void *)(id * 2);
}

static void *sleeper(void *argument)
{
    for (;;)
        pause();
    return argument;
}

int main(void)
{
    pthread_t threads[5];
    void *result;
    long sum = 0;
    for (long i = 0; i < 5; i++)
        if (pthread_create(&threads[i], 0, work, (void *)i))
            return 1;
    for (int i = 0; i < 5; i++) {
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    say("counter %d, sum %ld, own %d\n", counter, sum, own);
    pthread_create(&threads[0], 0, sleeper, 0);
    return 5;
}
