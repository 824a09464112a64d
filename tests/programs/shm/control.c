/* What does shmctl tell and change, and whom does it refuse? */
#include "shm.h"

static void show(const char *when, int id)
{
    struct shmid_ds ds;
    memset(&ds, 0x55, sizeof ds);
    int result = shmctl(id, IPC_STAT, &ds);
    say("%s: %d size %zu mode %o uid %d gid %d cuid %d cgid %d nattch %ld made by us %d used by us %d times %d%d%d\n", when,
        result, ds.shm_segsz, ds.shm_perm.mode, ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid,
        (long)ds.shm_nattch, ds.shm_cpid == getpid(), ds.shm_lpid == getpid(), ds.shm_atime != 0, ds.shm_dtime != 0,
        ds.shm_ctime != 0);
    unsigned char *raw = (void *)&ds;
    say(" padding %d %d %d\n", raw[26] | raw[27] | raw[28], raw[32] | raw[47], raw[96] | raw[111]);
}

int main(void)
{
    int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0640);
    struct shmid_ds ds;
    struct shminfo limits;
    struct shm_info usage;
    show("new", id);
    char *p = shmat(id, 0, 0);
    show("attached", id);
    pid_t child = fork();
    if (!child)
        _exit(0);
    waitpid(child, 0, 0);
    struct shmid_ds after;
    shmctl(id, IPC_STAT, &after);
    say("the child was last: %d\n", after.shm_lpid == child);
    shmctl(id, IPC_STAT, &ds);
    ds.shm_perm.mode = 07604;
    ds.shm_perm.uid = 5;
    ds.shm_perm.gid = 6;
    ds.shm_segsz = 1;
    try(shmctl(id, IPC_SET, &ds));
    show("set", id);
    ds.shm_perm.uid = -1;
    try(shmctl(id, IPC_SET, &ds));
    try(shmctl(id, SHM_LOCK, 0));
    show("locked", id);
    try(shmctl(id, SHM_LOCK, 0));
    try(shmctl(id, SHM_UNLOCK, 0));
    try(shmctl(id, SHM_UNLOCK, 0));
    shmdt(p);
    show("detached", id);
    p = shmat(id, 0, 0);
    shmctl(id, IPC_RMID, 0);
    show("removed", id);
    shmctl(id, IPC_STAT, &ds);
    say("the key is private now: %d\n", ds.shm_perm.__key == IPC_PRIVATE);

    say("limits: %d\n", shmctl(0, IPC_INFO, (void *)&limits) >= 0);
    say("min %lu max large %d\n", limits.shmmin, limits.shmmax > 1UL << 40);
    int index = shmctl(0, SHM_INFO, (void *)&usage);
    say("usage: %d at least one %d, pages %d\n", index >= 0, usage.used_ids >= 1, usage.shm_tot >= 3);
    say("by index: %d\n", shmctl(id & 0x7fff, SHM_STAT, &ds) == id && ds.shm_segsz == 10000);
    say("by index, any: %d\n", shmctl(id & 0x7fff, 15, &ds) == id);

    try(shmctl(id, 999, &ds));
    try(shmctl(id, 7, &ds));
    try(shmctl(id, -1, &ds));
    try(shmctl(-1, IPC_STAT, &ds));
    try(shmctl(-1, IPC_INFO, (void *)&limits));
    try(shmctl(0x7ffffff, IPC_STAT, &ds));
    try(shmctl(0x7ffffff, IPC_RMID, 0));
    try(shmctl(0x7fff, SHM_STAT, &ds));
    try(shmctl(id, IPC_STAT, (void *)8));
    try(shmctl(id, IPC_STAT, 0));
    try(shmctl(id, IPC_SET, (void *)8));
    try(shmctl(0, IPC_INFO, (void *)8));
    try(shmctl(0, SHM_INFO, (void *)8));
    shmdt(p);
    try(shmctl(id, SHM_LOCK, 0));
    try(shmctl(id, IPC_STAT, &ds));
    return 0;
}
