/* Does a segment live until it is removed and its last attach is gone, whichever comes last? */
#include "shm.h"

static void by_fork(void)
{
    int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600), go[2];
    volatile int *p = shmat(id, 0, 0);
    say("new: %ld, zeroed %d\n", attached(id), !p[0] && !p[3 * PAGE / 4 - 1]);
    pipe(go);
    p[0] = 1;
    pid_t child = fork();
    if (!child) {
        char c;
        read(go[0], &c, 1);
        p[1] = p[0] + 10;
        p[PAGE / 4] = 77;
        _exit(0);
    }
    say("forked: %ld\n", attached(id));
    p[0] = 2;
    write(go[1], "x", 1);
    wait_and_say("child", child);
    say("child saw %d and wrote %d; left %ld\n", p[1] - 10, p[PAGE / 4], attached(id));
    try(shmctl(id, IPC_RMID, 0));
    say("removed: still %d, attached %ld\n", p[0], attached(id));
    volatile int *again = shmat(id, 0, SHM_RDONLY);
    say("attached again after removal: %d, %ld\n", again != (void *)-1 ? again[0] : -1, attached(id));
    try(shmdt((void *)again));
    try(shmdt((void *)p));
    say("gone: %ld\n", attached(id));
}

static void by_exec(char *self)
{
    int id = shmget(IPC_PRIVATE, PAGE, 0600);
    char number[16];
    shmat(id, 0, 0);
    snprintf(number, sizeof number, "%d", id);
    pid_t child = fork();
    if (!child) {
        execl(self, self, number, (char *)0);
        _exit(9);
    }
    wait_and_say("after exec", child);
    say("exec detached: %ld\n", attached(id));
    shmctl(id, IPC_RMID, 0);
}

static void last_one_out(void)
{
    int id = shmget(IPC_PRIVATE, PAGE, 0600), ready[2], go[2];
    void *p = shmat(id, 0, 0);
    char c;
    pipe(ready), pipe(go);
    pid_t child = fork();
    if (!child) {
        read(go[0], &c, 1);
        _exit(*(volatile char *)p);
    }
    *(char *)p = 5;
    shmctl(id, IPC_RMID, 0);
    shmdt(p);
    say("only the child is left: %ld\n", attached(id));
    write(go[1], "x", 1);
    wait_and_say("child", child);
    say("gone with it: %ld\n", attached(id));
    id = shmget(IPC_PRIVATE, PAGE, 0600);
    try(shmctl(id, IPC_RMID, 0));
    say("removed unattached: %ld\n", attached(id));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        say("the new program: %ld\n", attached(atoi(argv[1])));
        return 0;
    }
    by_fork();
    by_exec(argv[0]);
    last_one_out();
    return 0;
}
