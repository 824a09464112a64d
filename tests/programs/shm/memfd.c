/* Is a memfd a file without a name, and does each of its seals keep out what it names? */
#include "shm.h"
#include <sys/vfs.h>

#define map(prot, kind) mmap(0, PAGE, prot, kind, fd, 0)
#define maps(call) say("%s: %s %d\n", #call, (call) == MAP_FAILED ? "no" : "yes", errno), errno = 0

static void nature(void)
{
    struct stat st;
    struct statfs fs;
    char link[300] = {0}, path[64], name[300];
    int fd = memfd_create("some/name", MFD_CLOEXEC);
    fstat(fd, &st), fstatfs(fd, &fs);
    say("mode %o links %ld magic %lx\n", st.st_mode, (long)st.st_nlink, (long)fs.f_type);
    say("close-on-exec %d flags %o\n", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readlink(path, link, sizeof link - 1);
    say("%s\n", link);
    try(fcntl(fd, F_GET_SEALS));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    try(fcntl(fd, F_ADD_SEALS, 0x1000));
    memset(name, 'n', sizeof name);
    name[249] = 0;
    say("longest name: %d\n", memfd_create(name, 0) >= 0);
    name[249] = 'n', name[250] = 0;
    try(memfd_create(name, 0));
    try(memfd_create((char *)16, 0));
    try(memfd_create("x", 0x100));
    try(memfd_create("x", 21u << 26));
    int ends[2];
    pipe(ends);
    try(fcntl(ends[0], F_GET_SEALS));
    try(fcntl(ends[1], F_ADD_SEALS, 0));
}

static void size_seals(void)
{
    int fd = memfd_create("size", MFD_ALLOW_SEALING);
    ftruncate(fd, 2 * PAGE);
    try(fcntl(fd, F_GET_SEALS));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
    try(ftruncate(fd, 2 * PAGE));
    try(ftruncate(fd, 2 * PAGE + 1));
    try(ftruncate(fd, PAGE));
    try(fallocate(fd, 0, 0, 2 * PAGE));
    try(fallocate(fd, 0, 0, 2 * PAGE + 1));
    try(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE + 1));
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE));
    try(pwrite(fd, "ab", 2, 2 * PAGE - 2));
    try(pwrite(fd, "ab", 2, 2 * PAGE));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    try(fcntl(fd, F_ADD_SEALS, 0x1000));
    try(fcntl(fd, F_GET_SEALS));
}

static void content_seals(void)
{
    int fd = memfd_create("content", MFD_ALLOW_SEALING);
    ftruncate(fd, PAGE);
    errno = 0;
    char *p = map(PROT_READ, MAP_SHARED);
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(p, PAGE);
    p = map(PROT_READ | PROT_WRITE, MAP_SHARED);
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW));
    try(fcntl(fd, F_GET_SEALS));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    p[0] = 'p';
    char *q = map(PROT_READ, MAP_SHARED);
    say("an older mapping writes: %c\n", q[0]);
    errno = 0;
    maps(map(PROT_READ | PROT_WRITE, MAP_SHARED));
    maps(map(PROT_READ | PROT_WRITE, MAP_PRIVATE));
    try(mprotect(q, PAGE, PROT_READ | PROT_WRITE));
    try(pwrite(fd, "x", 1, 0));
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    try(madvise(p, PAGE, MADV_REMOVE));
    say("still %c\n", q[0]);
    munmap(p, PAGE);
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    try(fcntl(fd, F_GET_SEALS));
    try(pwrite(fd, "x", 1, 0));
    char *c = map(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    c[0] = 'c';
    say("a private copy %c of %c\n", c[0], q[0]);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY);
    try(fcntl(reader, F_GET_SEALS));
    try(fcntl(reader, F_ADD_SEALS, 0));
}

int main(void)
{
    nature();
    size_seals();
    content_seals();
    return 0;
}
