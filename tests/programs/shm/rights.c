/* What may be done with a read-only attach, and what does SHM_EXEC allow? */
#include "shm.h"

static void in_child(const char *what, volatile char *p, int how)
{
    pid_t child = fork();
    if (!child) {
        if (how == 'w')
            *p = 1;
        else if (how == 'x')
            ((void (*)(void))p)();
        _exit(*p);
    }
    wait_and_say(what, child);
}

int main(void)
{
    int id = shmget(IPC_PRIVATE, PAGE, 0600);
    char *rw = shmat(id, 0, 0), *ro = shmat(id, 0, SHM_RDONLY), *rx = shmat(id, 0, SHM_RDONLY | SHM_EXEC);
    rw[0] = (char)0xc3; /* ret */
    say("%d %d %d\n", rw[0] == ro[0], ro[0] == rx[0], rx[0] & 255);
    in_child("write ro", ro, 'w');
    in_child("write rx", rx, 'w');
    in_child("run rx", rx, 'x');
    in_child("run rw", rw, 'x');
    in_child("write rw", rw, 'w');
    say("seen %d\n", ro[0]);
    try(mprotect(ro, PAGE, PROT_READ | PROT_WRITE));
    try(mprotect(ro, PAGE, PROT_NONE));
    in_child("read none", ro, 'r');
    try(mprotect(ro, PAGE, PROT_READ));
    try(mprotect(ro, PAGE, PROT_READ | PROT_EXEC));
    try(mprotect(rw, PAGE, PROT_READ));
    in_child("write protected", rw, 'w');
    try(mprotect(rw, PAGE, PROT_READ | PROT_WRITE));
    in_child("write again", rw, 'w');
    char *end = rw + PAGE;
    int zero = shmget(IPC_PRIVATE, 100, 0600);
    volatile char *small = shmat(zero, 0, 0);
    small[PAGE - 1] = 4;
    say("to the end of its page: %d\n", small[PAGE - 1]);
    (void)end;
    shmctl(zero, IPC_RMID, 0);
    shmctl(id, IPC_RMID, 0);
    return 0;
}
