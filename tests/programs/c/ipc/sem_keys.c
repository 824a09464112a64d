/* How are semaphore sets found, described and changed: keys, modes, IPC_STAT, IPC_SET, ids of removed sets? */
#include "say.h"
#include <sys/sem.h>

int main(void)
{
    key_t key = 0x43000000 + getpid();
    struct semid_ds ds;
    int set = semget(key, 2, IPC_CREAT | IPC_EXCL | 0640);
    say("made %d\n", set >= 0);
    try(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600));
    say("same %d %d %d\n", semget(key, 0, 0) == set, semget(key, 2, IPC_CREAT | 0600) == set, semget(key, 1, 0400) == set);
    try(semget(key, 3, 0));
    try(semget(key + 0x01000000, 1, 0));
    try(semctl(set, 0, IPC_STAT, &ds));
    say("nsems %lu mode %o otime %d ctime %d key %d mine %d\n", (unsigned long)ds.sem_nsems, ds.sem_perm.mode,
        ds.sem_otime != 0, ds.sem_ctime != 0, ds.sem_perm.__key == key, ds.sem_perm.uid == getuid());
    semop(set, (struct sembuf[]){{0, 1, 0}}, 1);
    ds.sem_perm.mode = 0777400;
    try(semctl(set, 0, IPC_SET, &ds));
    semctl(set, 0, IPC_STAT, &ds);
    say("mode %o otime %d\n", ds.sem_perm.mode, ds.sem_otime != 0);
    try(semctl(set, 0, IPC_STAT, (void *)8));
    try(semctl(set, 0, IPC_SET, (void *)8));
    try(semctl(set, 0, GETALL, (void *)8));
    struct seminfo info;
    say("info %d\n", semctl(0, 0, IPC_INFO, &info) >= 0);
    say("semmsl %d semopm %d semvmx %d semusz %d semaem %d\n", info.semmsl, info.semopm, info.semvmx, info.semusz,
        info.semaem);
    say("used %d\n", semctl(0, 0, SEM_INFO, &info) >= 0 && info.semusz >= 1 && info.semaem >= 2);
    pid_t child = fork();
    if (child == 0) {
        semop(set, (struct sembuf[]){{1, 7, 0}}, 1);
        say("pid %d\n", semctl(set, 1, GETPID) == getpid());
        _exit(0);
    }
    wait_and_say("child", child);
    say("value %d by it %d\n", semctl(set, 1, GETVAL), semctl(set, 1, GETPID) == child);
    try(semctl(set, 0, IPC_RMID));
    try(semctl(set, 0, IPC_RMID));
    try(semget(key, 0, 0));
    int again = semget(key, 1, IPC_CREAT | 0600);
    say("another id %d\n", again != set);
    FILE *list = fopen("/proc/sysvipc/sem", "r");
    char line[300];
    int found = 0;
    while (fgets(line, sizeof line, list)) {
        long k, id, mode;
        int nsems;
        if (sscanf(line, "%ld %ld %lo %d", &k, &id, &mode, &nsems) == 4 && id == again)
            say("listed %d mode %lo nsems %d\n", k == key, mode, nsems), found++;
    }
    say("found %d\n", found);
    semctl(again, 0, IPC_RMID);
    return 0;
}
