/* What does the end of a process take back with SEM_UNDO: exit, kill, a fork's child, SETVAL, limits? */
#include "say.h"
#include <sys/sem.h>

static int set;

static void child(const char *what, int how)
{
    pid_t pid = fork();
    if (pid == 0) {
        semop(set, (struct sembuf[]){{0, -2, SEM_UNDO}, {1, 3, SEM_UNDO}}, 2);
        if (how == 1)
            raise(SIGKILL);
        if (how == 2)
            semctl(set, 0, SETVAL, 1);
        if (how == 3 && fork() == 0)
            _exit(0); /* inherits no debts */
        if (how == 3)
            wait(0);
        if (how == 4)
            semop(set, (struct sembuf[]){{1, -3, 0}}, 1);
        say("%s inside %d %d\n", what, semctl(set, 0, GETVAL), semctl(set, 1, GETVAL));
        _exit(0);
    }
    waitpid(pid, 0, 0);
    say("%s after %d %d, by it %d\n", what, semctl(set, 0, GETVAL), semctl(set, 1, GETVAL),
        semctl(set, 0, GETPID) == pid);
    unsigned short fresh[2] = {10, 0};
    semctl(set, 0, SETALL, fresh);
}

int main(void)
{
    set = semget(IPC_PRIVATE, 2, 0600);
    unsigned short fresh[2] = {10, 0};
    semctl(set, 0, SETALL, fresh);
    child("exit", 0);
    child("kill", 1);
    child("setval", 2);
    child("fork", 3);
    child("below zero", 4);
    pid_t waiter = fork(); /* waits for what the end of another gives back */
    if (waiter == 0) {
        semop(set, (struct sembuf[]){{0, -10, 0}}, 1);
        say("given back\n");
        _exit(0);
    }
    semop(set, (struct sembuf[]){{1, 1, 0}}, 1);
    wait_and_say("waiter", waiter);
    semctl(set, 0, SETVAL, 1);
    pid_t holder = fork();
    if (holder == 0) {
        semop(set, (struct sembuf[]){{0, -1, SEM_UNDO}}, 1);
        semop(set, (struct sembuf[]){{1, 1, 0}}, 1);
        while (semctl(set, 0, GETNCNT) != 1)
            rest(1);
        _exit(0);
    }
    semop(set, (struct sembuf[]){{1, -2, 0}}, 1);
    try(semop(set, (struct sembuf[]){{0, -1, 0}}, 1));
    wait_and_say("holder", holder);
    try(semop(set, (struct sembuf[]){{0, 32767, SEM_UNDO}}, 1));
    try(semop(set, (struct sembuf[]){{0, -32767, 0}}, 1));
    try(semop(set, (struct sembuf[]){{0, 2, SEM_UNDO}}, 1));
    semctl(set, 0, IPC_RMID);
    return 0;
}
