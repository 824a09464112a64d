/* When the owner of a robust mutex dies (thread, process, or by execve), does the next one get EOWNERDEAD? */
#include "say.h"
#include <pthread.h>

struct shared {
    pthread_mutex_t mutex[3];
    int ready;
};

static struct shared *s;

static void *dies(void *argument)
{
    for (int i = 0; i < 3; i++)
        pthread_mutex_lock(&s->mutex[i]);
    return argument;
}

static void make(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(mutex, &kind);
}

static void inherit(const char *who)
{
    for (int i = 0; i < 3; i++) {
        int got = pthread_mutex_lock(&s->mutex[i]);
        say("%s %d: %s\n", who, i, got == EOWNERDEAD ? "owner died" : got ? "error" : "free");
        if (got == EOWNERDEAD && i < 2)
            pthread_mutex_consistent(&s->mutex[i]);
        pthread_mutex_unlock(&s->mutex[i]);
    }
    say("%s 2 again: %s\n", who, pthread_mutex_lock(&s->mutex[2]) == ENOTRECOVERABLE ? "not recoverable" : "?");
    make(&s->mutex[2]);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 1)
        return 3;
    s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3; i++)
        make(&s->mutex[i]);
    pthread_create(&thread, 0, dies, 0);
    pthread_join(thread, 0);
    inherit("after a thread");

    pid_t child = fork();
    if (!child) {
        dies(0);
        __atomic_store_n(&s->ready, 1, __ATOMIC_SEQ_CST);
        rest(50);
        _exit(0); /* while the parent waits for the first of them */
    }
    while (!__atomic_load_n(&s->ready, __ATOMIC_SEQ_CST))
        sched_yield();
    inherit("after a process");
    wait_and_say("child", child);

    child = fork();
    if (!child) {
        char *arguments[] = {argv[0], "again", 0};
        dies(0);
        execv("/proc/self/exe", arguments);
        _exit(1);
    }
    wait_and_say("exec", child);
    inherit("after exec");
    return 0;
}
