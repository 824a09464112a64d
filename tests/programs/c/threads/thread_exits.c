/* Who ends the process: the last thread, the first, exit_group from any, a signal; and which status is reported? */
#include "say.h"
#include <pthread.h>

static int turn;

static void *calls_exit_group(void *argument)
{
    rest(20);
    _exit((long)argument);
}

static void *leaves_late(void *argument)
{
    rest(40);
    syscall(SYS_exit, (long)argument);
    return 0;
}

static void *gets_killed(void *argument)
{
    rest(20);
    volatile int *nowhere = argument;
    *nowhere = 1;
    return argument;
}

static void *sleeps(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void run(const char *what, void *(*thread)(void *), long argument, int leader)
{
    pid_t child = fork();
    if (!child) {
        pthread_t id;
        pthread_create(&id, 0, sleeps, 0);
        if (leader == 1)
            pthread_cancel(id), pthread_join(id, 0);
        pthread_create(&id, 0, thread, (void *)argument);
        if (leader == 2)
            pause();
        syscall(SYS_exit, 3); /* the first thread alone */
    }
    wait_and_say(what, child);
}

int main(void)
{
    run("exit_group in a thread, leader waits", calls_exit_group, 5, 2);
    run("exit_group in a thread, leader gone", calls_exit_group, 6, 0);
    run("leader first, then the other", leaves_late, 7, 1);
    run("a fault in a thread", gets_killed, 8, 2);
    run("a fault in a thread, leader gone", gets_killed, 8, 0);
    pid_t child = fork();
    if (!child) {
        pthread_t id;
        pthread_create(&id, 0, sleeps, 0);
        syscall(SYS_exit, 0);
    }
    rest(50);
    int status;
    say("not yet: %d\n", waitpid(child, &status, WNOHANG)); /* the leader is a zombie, the process is not */
    say("there: %d\n", kill(child, 0));
    kill(child, SIGTERM);
    wait_and_say("terminated", child);
    return turn;
}
