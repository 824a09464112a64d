/* Does each thread have a name and a directory of its own in /proc/self/task? */
#include "say.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>

static int tids[3], step;

static void *named(void *argument)
{
    long id = (long)argument;
    char name[16];
    sprintf(name, "worker-%ld", id);
    prctl(PR_SET_NAME, name);
    tids[id] = syscall(SYS_gettid);
    __atomic_add_fetch(&step, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) < 100 + 10 * id) /* one after the other */
        sched_yield();
    prctl(PR_GET_NAME, name);
    say("%ld calls itself %s\n", id, name);
    __atomic_add_fetch(&step, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void show(const char *path, int tid)
{
    char file[64], text[64] = "";
    sprintf(file, path, tid);
    int fd = open(file, O_RDONLY);
    say("%s: %.*s", strrchr(path, '/'), (int)read(fd, text, sizeof text), text);
    close(fd);
}

int main(void)
{
    pthread_t threads[3];
    int count = 0;
    prctl(PR_SET_NAME, "a name that is much too long");
    for (long i = 0; i < 3; i++) {
        pthread_create(&threads[i], 0, named, (void *)i);
        while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) != i + 1)
            sched_yield();
    }
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    say("threads: %d\n", count);
    show("/proc/self/task/%d/comm", getpid());
    for (int i = 0; i < 3; i++)
        show("/proc/self/task/%d/comm", tids[i]);
    char path[64];
    sprintf(path, "/proc/self/task/%d/comm", tids[1]);
    int fd = open(path, O_WRONLY);
    try((int)write(fd, "renamed", 7));
    close(fd);
    show("/proc/self/task/%d/comm", tids[1]);
    show("/proc/%d/comm", getpid());
    for (int i = 0; i < 3; i++) {
        __atomic_store_n(&step, 100 + 10 * i, __ATOMIC_SEQ_CST);
        pthread_join(threads[i], 0);
    }
    return 0;
}
