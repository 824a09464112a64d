/* Threads with the smallest stacks that there are, until clone fails. */
#include "bomb.h"
#include <pthread.h>

static void *waits(void *argument)
{
    for (;;)
        pause();
    return argument;
}

int main(void)
{
    pthread_attr_t small;
    pthread_t thread;
    int count = 0, error;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    while (!(error = pthread_create(&thread, &small, waits, 0)))
        count++;
    say("clone: %s, some %d\n", name_of(error), count > 50);
    return 0;
}
