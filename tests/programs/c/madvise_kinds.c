/* What do MADV_DONTNEED, WIPEONFORK, DONTFORK and FREE do to private, shared and file memory? */
#include "say.h"

static char *map(int flags, int fd)
{
    char *area = mmap(0, 8192, PROT_READ | PROT_WRITE, flags, fd, 0);
    area[0] = 'x';
    area[4096] = 'y';
    return area;
}

int main(void)
{
    int fd = open("/tmp/cr3lab-advise", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-advise");
    ftruncate(fd, 8192);
    pwrite(fd, "F", 1, 0);
    char *private = map(MAP_PRIVATE | MAP_ANONYMOUS, -1), *shared = map(MAP_SHARED | MAP_ANONYMOUS, -1);
    char *file = map(MAP_PRIVATE, fd);
    try(madvise(private, 4096, MADV_DONTNEED));
    try(madvise(shared, 8192, MADV_DONTNEED));
    try(madvise(file, 4096, MADV_DONTNEED));
    say("private %d %c, shared %c %c, file %c %c\n", private[0], private[4096], shared[0], shared[4096], file[0], file[4096]);
    char *wiped = map(MAP_PRIVATE | MAP_ANONYMOUS, -1), *hidden = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
    try(madvise(wiped, 4096, MADV_WIPEONFORK));
    try(madvise(shared, 4096, MADV_WIPEONFORK));
    try(madvise(hidden, 8192, MADV_DONTFORK));
    pid_t child = fork();
    if (child == 0) {
        say("child: wiped %d %c\n", wiped[0], wiped[4096]);
        _exit(hidden[0]);
    }
    wait_and_say("child reads what was not forked", child);
    say("parent: wiped %c, hidden %c\n", wiped[0], hidden[0]);
    try(madvise(wiped, 4096, MADV_KEEPONFORK));
    try(madvise(hidden, 8192, MADV_DOFORK));
    child = fork();
    if (child == 0)
        _exit(wiped[0] == 'x' && hidden[0] == 'x');
    wait_and_say("child sees both", child);
    try(madvise(private, 8192, 12345));
    try(madvise(private + 1, 4096, MADV_DONTNEED));
    munmap(private, 4096);
    try(madvise(private, 8192, MADV_DONTNEED));
    return 0;
}
