/* Are the operations of one semop done together or not at all, and what do they refuse? */
#include "say.h"
#include <sys/sem.h>

static int set;

static void values(void)
{
    unsigned short all[3];
    semctl(set, 0, GETALL, all);
    say("  %d %d %d\n", all[0], all[1], all[2]);
}

static void operate(int n, struct sembuf *operations)
{
    int result = semop(set, operations, n);
    say("semop %d errno %d", result, result ? errno : 0);
    values();
}

int main(void)
{
    set = semget(IPC_PRIVATE, 3, 0600);
    values();
    operate(2, (struct sembuf[]){{0, 5, 0}, {1, 2, 0}});
    operate(2, (struct sembuf[]){{0, -1, 0}, {1, -3, IPC_NOWAIT}}); /* the first is taken back */
    operate(3, (struct sembuf[]){{0, -5, 0}, {0, 0, 0}, {2, 4, 0}});
    operate(1, (struct sembuf[]){{1, 0, IPC_NOWAIT}});
    operate(2, (struct sembuf[]){{1, 1, 0}, {1, -3, 0}}); /* of what the one before left */
    operate(1, (struct sembuf[]){{2, 32767, 0}});
    operate(1, (struct sembuf[]){{3, 1, 0}});
    operate(0, 0);
    try(semop(set, (void *)8, 1));
    static struct sembuf many[501];
    operate(501, many);
    try(semop(set + 1, many, 1));
    try(semop(-1, many, 1));
    struct timespec brief = {0, 5000000}, bad = {0, 1000000000};
    try(semtimedop(set, (struct sembuf[]){{1, -9, 0}}, 1, &brief));
    try(semtimedop(set, (struct sembuf[]){{1, -9, 0}}, 1, &bad));
    try(semctl(set, 1, SETVAL, 7));
    try(semctl(set, 1, SETVAL, -1));
    try(semctl(set, 1, SETVAL, 32768));
    try(semctl(set, 3, SETVAL, 1));
    try(semctl(set, 1, GETVAL));
    try(semctl(set, 3, GETVAL));
    say("pid is mine %d\n", semctl(set, 1, GETPID) == getpid());
    unsigned short all[3] = {1, 2, 3}, high[3] = {1, 40000, 3};
    try(semctl(set, 0, SETALL, all));
    values();
    try(semctl(set, 0, SETALL, high));
    try(semctl(set, 0, 99, 0));
    try(semctl(set, 0, IPC_RMID));
    try(semctl(set, 0, GETVAL));
    try(semget(IPC_PRIVATE, 0, 0600));
    try(semget(IPC_PRIVATE, -1, 0600));
    try(semget(IPC_PRIVATE, 32001, 0600));
    return 0;
}
