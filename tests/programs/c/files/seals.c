/* What do the seals of a memfd forbid, when can they be set, and what is a memfd to stat and /proc? */
#include "say.h"

int main(void)
{
    char text[64] = {0};
    struct stat status;
    int fd = memfd_create("named", MFD_ALLOW_SEALING | MFD_CLOEXEC), plain = memfd_create("", 0);
    try(fcntl(fd, F_GET_SEALS));
    try(fcntl(plain, F_GET_SEALS));
    try(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW));
    try(fcntl(fd, F_GETFD));
    try(fcntl(plain, F_GETFD));
    fstat(fd, &status);
    say("mode %o links %d size %ld\n", status.st_mode, (int)status.st_nlink, (long)status.st_size);
    snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
    char target[64] = {0};
    try(readlink(text, target, 63));
    say("%s\n", target);
    int reader = open(text, O_RDONLY);
    try(fcntl(reader, F_ADD_SEALS, F_SEAL_GROW));
    try(fcntl(reader, F_GET_SEALS));
    try(write(fd, "0123456789", 10));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    try(pwrite(fd, "x", 1, 10));
    try(pwrite(fd, "abc", 3, 8));
    try(ftruncate(fd, 20));
    try(fallocate(fd, 0, 5, 10));
    try(ftruncate(fd, 9));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    try(ftruncate(fd, 5));
    char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    map[0] = 'M';
    munmap(map, 4096);
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    try(pwrite(fd, "x", 1, 0));
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5));
    say("%d\n", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0);
    say("%d\n", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -errno : 0);
    map = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    say("%.9s\n", map);
    try(mprotect(map, 4096, PROT_READ | PROT_WRITE));
    try(fcntl(fd, F_ADD_SEALS, 1 << 10));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    try(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    try(fcntl(fd, F_GET_SEALS));
    try(memfd_create("x", 1 << 20));
    memset(text, 'n', sizeof text);
    static char name[300];
    memset(name, 'n', 249);
    try(memfd_create(name, 0) > 0);
    name[249] = 'n';
    try(memfd_create(name, 0));
    try(memfd_create((char *)8, 0));
    try(fcntl(1, F_GET_SEALS));
    return 0;
}
