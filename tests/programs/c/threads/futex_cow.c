/* Is a thread that waits on a private word still found after forks, copies of its page, and writes by either side? */
#include "say.h"
#include "futex.h"
#include <pthread.h>

static uint32_t words[2048] __attribute__((aligned(4096)));
static int ready;

static void *waiter(void *argument)
{
    uint32_t *word = argument;
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, word, word == words ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT, 0, 0, 0, 0);
    return word;
}

int main(void)
{
    pthread_t threads[2];
    pthread_create(&threads[0], 0, waiter, &words[0]);
    pthread_create(&threads[1], 0, waiter, &words[1024]);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) != 2)
        sched_yield();
    for (int i = 0; i < 4; i++) {
        pid_t child = fork(); /* only this thread lives on in the child */
        if (!child) {
            words[1024 * (i & 1)] = 99;
            long woken = syscall(SYS_futex, &words[0], FUTEX_WAKE, 9, 0, 0, 0)
                + syscall(SYS_futex, &words[1024], FUTEX_WAKE_PRIVATE, 9, 0, 0, 0);
            _exit(10 + woken);
        }
        words[5] = i; /* the parent writes first now and then */
        wait_and_say("child", child);
    }
    rest(20);
    try(syscall(SYS_futex, &words[0], FUTEX_WAKE, 9, 0, 0, 0)); /* who says private does not meet who does not */
    try(syscall(SYS_futex, &words[1024], FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
    for (int i = 0; i < 2; i++) {
        __atomic_store_n(&words[1024 * i], 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &words[1024 * i], i ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
        void *result;
        pthread_join(threads[i], &result);
        say("waiter %d: %d\n", i, result == &words[1024 * i]);
    }
    return 0;
}
