/* Who waits for a semaphore, who is woken first, and what do a removed set and a signal do to waiters? */
#include "say.h"
#include <sys/sem.h>

static void nothing(int signo, siginfo_t *info, void *context)
{
}

static void until(int set, int command, int count)
{
    while (semctl(set, 0, command) != count)
        rest(1);
}

int main(void)
{
    int set = semget(IPC_PRIVATE, 2, 0600);
    pid_t child[3];
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            semop(set, (struct sembuf[]){{0, -1, 0}}, 1);
            say("child %d has it\n", i);
            semop(set, (struct sembuf[]){{1, 1, 0}}, 1);
            _exit(0);
        }
        until(set, GETNCNT, i + 1);
    }
    say("waiting %d %d\n", semctl(set, 0, GETNCNT), semctl(set, 0, GETZCNT));
    for (int i = 0; i < 3; i++) {
        semop(set, (struct sembuf[]){{0, 1, 0}}, 1);
        int mine = semop(set, (struct sembuf[]){{0, -1, IPC_NOWAIT}}, 1), why = errno; /* the child was first */
        semop(set, (struct sembuf[]){{1, -1, 0}}, 1);
        say("for me: %d errno %d\n", mine, why);
    }
    for (int i = 0; i < 3; i++)
        wait_and_say("child", child[i]);

    semctl(set, 0, SETVAL, 1);
    child[0] = fork();
    if (child[0] == 0) {
        try(semop(set, (struct sembuf[]){{0, 0, 0}}, 1));
        _exit(0);
    }
    until(set, GETZCNT, 1);
    semctl(set, 0, SETVAL, 0);
    wait_and_say("for zero", child[0]);

    child[0] = fork();
    if (child[0] == 0) {
        on(SIGUSR1, nothing, SA_RESTART);
        try(semop(set, (struct sembuf[]){{0, -1, 0}}, 1));
        _exit(0);
    }
    until(set, GETNCNT, 1);
    rest(5);
    kill(child[0], SIGUSR1);
    wait_and_say("interrupted", child[0]);
    say("waiting %d\n", semctl(set, 0, GETNCNT));

    child[0] = fork();
    if (child[0] == 0) {
        semop(set, (struct sembuf[]){{0, -1, 0}}, 1);
        _exit(0);
    }
    until(set, GETNCNT, 1);
    kill(child[0], SIGKILL);
    wait_and_say("killed", child[0]);
    say("waiting %d\n", semctl(set, 0, GETNCNT));

    child[0] = fork();
    if (child[0] == 0) {
        try(semop(set, (struct sembuf[]){{0, -1, 0}}, 1));
        _exit(0);
    }
    until(set, GETNCNT, 1);
    semctl(set, 0, IPC_RMID);
    wait_and_say("removed", child[0]);
    return 0;
}
