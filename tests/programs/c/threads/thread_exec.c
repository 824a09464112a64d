/* After execve in a thread that is not the first: same pid, one thread, tid equal to pid, and everybody else gone? */
#include "say.h"
#include <dirent.h>
#include <pthread.h>

static char *program;

static void *sleeps(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void *execs(void *argument)
{
    char pid[16];
    sprintf(pid, "%d", getpid());
    char *arguments[] = {program, pid, 0};
    execv(program, arguments);
    return argument;
}

static int second(const char *pid)
{
    int threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));)
        threads += entry->d_name[0] != '.';
    say("same pid %d, tid is pid %d, threads %d\n", atoi(pid) == getpid(), syscall(SYS_gettid) == getpid(), threads);
    pthread_t thread;
    say("can make threads: %d\n", pthread_create(&thread, 0, sleeps, 0));
    return 9;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 1)
        return second(argv[1]);
    program = argv[0];
    for (int leader_gone = 0; leader_gone < 2; leader_gone++) {
        pid_t child = fork();
        if (!child) {
            for (int i = 0; i < 3; i++)
                pthread_create(&thread, 0, sleeps, 0);
            pthread_create(&thread, 0, execs, 0);
            if (leader_gone)
                syscall(SYS_exit, 1);
            sleeps(0);
        }
        wait_and_say(leader_gone ? "leader gone" : "leader there", child);
    }
    return 0;
}
