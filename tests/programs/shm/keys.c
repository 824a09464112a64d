/* Which keys, sizes and flags does shmget accept, and what does it say to the others? */
#include "shm.h"

int main(void)
{
    key_t a = own_key(1), b = own_key(2);
    try(shmget(a, PAGE, 0600));
    int id = shmget(a, 5000, IPC_CREAT | IPC_EXCL | 0640);
    say("made: %d\n", id >= 0);
    try(shmget(a, 5000, IPC_CREAT | IPC_EXCL | 0640));
    say("found: %d\n", shmget(a, 5000, IPC_CREAT | 0600) == id);
    say("found smaller: %d\n", shmget(a, 1, 0) == id);
    say("found with size 0: %d\n", shmget(a, 0, 0) == id);
    try(shmget(a, 5001, 0));
    try(shmget(b, 0, IPC_CREAT | 0600));
    try(shmget(b, -1, IPC_CREAT | 0600));
    try(shmget(b, 0, 0));
    try(shmget(IPC_PRIVATE, 0, 0600));
    try(shmget(IPC_PRIVATE, 1L << 50, 0600));
    int huge = shmget(IPC_PRIVATE, 1L << 40, SHM_NORESERVE | 0600);
    say("not reserved: %d\n", huge >= 0);
    try(shmctl(huge, IPC_RMID, 0));
    int one = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | IPC_EXCL | 0600), two = shmget(IPC_PRIVATE, PAGE, 0600);
    say("private ones differ: %d\n", one >= 0 && two >= 0 && one != two);
    shmctl(one, IPC_RMID, 0), shmctl(two, IPC_RMID, 0);
    void *p = shmat(id, 0, 0);
    try(shmctl(id, IPC_RMID, 0));
    try(shmget(a, 1, 0));
    int next = shmget(a, PAGE, IPC_CREAT | 0600);
    say("the key is free at once: %d\n", next >= 0 && next != id);
    try(shmdt(p));
    try(shmctl(next, IPC_RMID, 0));
    try(shmctl(next, IPC_RMID, 0));
    return 0;
}
