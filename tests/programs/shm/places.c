/* Where does shmat put a segment, what does it refuse to cover, and how much does shmdt take away? */
#include "shm.h"

static char *reserve(int pages)
{
    char *at = mmap(0, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at, pages * PAGE);
    return at;
}

#define at(call) say("%s: %s %d\n", #call, (char *)(call) == room ? "there" : "no", errno)

int main(void)
{
    int id = shmget(IPC_PRIVATE, 3 * PAGE - 5, 0600);
    char *room = reserve(16), *p;
    errno = 0;
    at(shmat(id, room, 0));
    at(shmat(id, room, 0));
    try(shmdt(room + PAGE));
    try(shmdt(room + 1));
    try(shmdt(room));
    try(shmdt(room));
    errno = 0;
    at(shmat(id, room + 123, SHM_RND));
    at(shmat(id, room + 123, 0));
    at(shmat(id, 0, SHM_REMAP));
    at(shmat(id, (void *)-PAGE, 0));
    at(shmat(id, (void *)(1L << 50), 0));
    at(shmat(-1, 0, 0));
    at(shmat(0x7fffffff, 0, 0));
    shmdt(room);

    mmap(room, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    room[0] = 'm';
    errno = 0;
    at(shmat(id, room, 0));
    say("kept %c\n", room[0]);
    errno = 0;
    at(shmat(id, room, SHM_REMAP));
    say("covered: %d\n", room[0]);
    memset(room, 's', 3 * PAGE);
    errno = 0;
    at(shmat(id, room, SHM_REMAP));
    say("over itself: %c, %ld\n", room[2 * PAGE], attached(id));

    p = shmat(id, 0, 0);
    say("elsewhere: %c %c, %ld\n", p[0], p[3 * PAGE - 1], attached(id));
    mprotect(p + PAGE, PAGE, PROT_READ);
    say("split in three: %ld\n", attached(id));
    mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE);
    say("and not joined again: %ld\n", attached(id));
    munmap(p, PAGE);
    say("without the first: %ld\n", attached(id));
    try(shmdt(p));
    say("detached the rest: %ld\n", attached(id));

    p = shmat(id, 0, 0);
    munmap(p + PAGE, PAGE);
    say("a hole in the middle: %ld\n", attached(id));
    char *moved = mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 8 * PAGE);
    say("moved %c: %ld\n", moved[0], attached(id));
    try(shmdt(p));
    say("the moved one stays: %ld %c\n", attached(id), moved[0]);
    try(shmdt(moved));
    say("%ld\n", attached(id));

    char *grown = mremap(shmat(id, 0, 0), 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
    say("grown: %d, %ld\n", grown != MAP_FAILED, attached(id));
    pid_t child = fork();
    if (!child)
        _exit(((volatile char *)grown)[3 * PAGE]);
    wait_and_say("behind the end", child);
    try(shmdt(grown));
    say("%ld\n", attached(id));

    p = shmat(id, 0, 0);
    madvise(p, 3 * PAGE, MADV_DONTFORK);
    child = fork();
    if (!child) {
        say("not for the child: %ld\n", attached(id));
        _exit(0);
    }
    wait_and_say("child", child);
    try(shmctl(id, IPC_RMID, 0));
    munmap(p, 3 * PAGE);
    munmap(room, 3 * PAGE);
    say("munmap detaches as well: %ld\n", attached(id));
    return 0;
}
