/* Which children do __WCLONE, __WALL and __WNOTHREAD wait for, and what signal do they end with? */
#include "say.h"
#include <pthread.h>
#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif
#ifndef __WCLONE
#define __WCLONE 0x80000000
#endif

static volatile int got;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    got = signo;
}

static pid_t start(int signo, int status)
{
    pid_t child = syscall(SYS_clone, signo, 0, 0, 0, 0);
    if (child == 0)
        syscall(SYS_exit_group, status);
    return child;
}

static void *run(void *child)
{
    int status;
    try(waitpid(*(pid_t *)child, &status, __WNOTHREAD | __WALL)); /* another thread's */
    pid_t mine = start(SIGCHLD, 7); /* like fork */
    say("%d ", waitpid(mine, &status, __WNOTHREAD) == mine);
    say_status("own", status);
    return 0;
}

int main(void)
{
    int status;
    pthread_t thread;
    on(SIGUSR1, handler, 0);
    on(SIGCHLD, handler, SA_RESTART);
    pid_t child = start(SIGUSR1, 3);
    try(waitpid(child, &status, WNOHANG));
    try(waitpid(-1, &status, WNOHANG));
    while (waitpid(child, &status, __WCLONE) == -1 && errno == EINTR)
        ;
    say_status("clone", status);
    say("signal %d\n", got);
    got = 0;
    child = start(0, 4);
    say("%d ", waitpid(child, &status, __WALL) == child);
    say_status("silent", status);
    say("signal %d\n", got);
    child = start(SIGCHLD, 5);
    try(waitpid(child, &status, __WCLONE));
    say("%d ", waitpid(child, &status, 0) == child);
    say_status("ordinary", status);
    child = start(SIGCHLD, 6);
    pthread_create(&thread, 0, run, &child);
    pthread_join(thread, 0);
    say("%d ", waitpid(child, &status, 0) == child);
    say_status("first thread's", status);
    return 0;
}
