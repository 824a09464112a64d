/* Do the calls of futex2 (wait, wake, waitv, requeue) agree with futex(2) and with each other? */
#include "say.h"
#include <pthread.h>

struct waitv {
    uint64_t value, address;
    uint32_t flags, reserved;
};

enum { WAITV = 449, WAKE = 454, WAIT = 455, REQUEUE = 456, U32 = 2, PRIVATE = 128 };

static uint32_t words[4];
static volatile int waiting;

static struct waitv on_word(int i, uint64_t value, uint32_t flags)
{
    return (struct waitv){value, (uint64_t)&words[i], flags, 0};
}

static void *waits_for_three(void *argument)
{
    struct waitv three[3] = {on_word(0, 0, U32 | PRIVATE), on_word(1, 0, U32 | PRIVATE), on_word(2, 0, U32 | PRIVATE)};
    waiting = 1;
    say("waitv: woken by %ld\n", syscall(WAITV, three, 3, 0, 0, 0));
    return argument;
}

static void *waits_for_one(void *argument)
{
    waiting = 1;
    say("wait: %ld\n", syscall(WAIT, &words[0], 0ul, 4ul, U32 | PRIVATE, 0, 0));
    return argument;
}

static pthread_t start(void *(*body)(void *))
{
    pthread_t thread;
    waiting = 0;
    pthread_create(&thread, 0, body, 0);
    while (!waiting)
        sched_yield();
    rest(30);
    return thread;
}

int main(void)
{
    struct waitv pair[2] = {on_word(0, 0, U32 | PRIVATE), on_word(3, 0, U32 | PRIVATE)}, bad = on_word(0, 0, U32);
    struct timespec past = {1, 0};

    pthread_t thread = start(waits_for_three);
    long woken = syscall(WAKE, &words[1], 0xfffffffful, 1, U32 | PRIVATE);
    pthread_join(thread, 0);
    say("woken %ld\n", woken);
    try(syscall(WAKE, &words[0], 0xfffffffful, 1, U32 | PRIVATE));

    thread = start(waits_for_one);
    try(syscall(WAKE, &words[0], 3ul, 1, U32 | PRIVATE));
    try(syscall(REQUEUE, pair, 0, 0, 1));
    try(syscall(WAKE, &words[0], 4ul, 1, U32 | PRIVATE));
    try(syscall(WAKE, &words[3], 4ul, 0, U32 | PRIVATE));
    woken = syscall(WAKE, &words[3], 4ul, 1, U32 | PRIVATE);
    pthread_join(thread, 0);
    say("woken %ld\n", woken);

    try(syscall(WAIT, &words[0], 1ul, 1ul, U32, 0, 0));
    try(syscall(WAIT, &words[0], 0ul, 1ul, U32, &past, 1));
    try(syscall(WAIT, &words[0], 0ul, 1ul, U32, &past, 0));
    try(syscall(WAIT, &words[0], 0ul, 1ul, U32, &past, 7));
    try(syscall(WAIT, &words[0], 0ul, 0ul, U32, 0, 0));
    try(syscall(WAIT, &words[0], 0ul, 1ul, 0x80000, 0, 0));
    try(syscall(WAIT, &words[0], 1ul << 32, 1ul, U32, 0, 0));
    try(syscall(WAKE, &words[0], 0ul, 1, U32));
    try(syscall(WAITV, &bad, 0, 0, 0, 0));
    try(syscall(WAITV, &bad, 129, 0, 0, 0));
    try(syscall(WAITV, &bad, 1, 1, 0, 0));
    try(syscall(WAITV, 0, 1, 0, 0, 0));
    try(syscall(WAITV, 8, 1, 0, 0, 0));
    try(syscall(WAITV, &bad, 1, 0, &past, 1));
    bad.reserved = 1;
    try(syscall(WAITV, &bad, 1, 0, &past, 1));
    bad = on_word(0, 1, U32);
    try(syscall(WAITV, &bad, 1, 0, &past, 1));
    try(syscall(REQUEUE, pair, 1, 0, 1));
    try(syscall(REQUEUE, 0, 0, 0, 1));
    pair[0].value = 9;
    try(syscall(REQUEUE, pair, 0, 0, 1));
    return 0;
}
