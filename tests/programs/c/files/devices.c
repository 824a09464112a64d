/* What do null, zero, full, random and tty give, take, seek and stat, and what do nodes made by hand do? */
#include "say.h"
#include <sys/sysmacros.h>

static void device(const char *path)
{
    char bytes[16];
    struct stat status;
    int fd = open(path, O_RDWR);
    if (fd < 0) {
        say("%s: errno %d\n", path, errno);
        return;
    }
    fstat(fd, &status);
    memset(bytes, 1, sizeof bytes);
    say("%s: %o %d:%d size %ld", path, status.st_mode & ~0777, major(status.st_rdev), minor(status.st_rdev),
        (long)status.st_size);
    say(" read %d", (int)read(fd, bytes, 8));
    say(" first %d", strstr(path, "random") ? 0 : bytes[0]);
    errno = 0;
    say(" write %d", (int)write(fd, bytes, 8));
    say(" (%d)", errno);
    errno = 0;
    say(" bad read %d", (int)read(fd, (void *)8, 8));
    say(" (%d)", errno);
    say(" seek %ld %ld", (long)lseek(fd, 77, SEEK_SET), (long)lseek(fd, 0, SEEK_CUR));
    errno = 0;
    say(" truncate %d", ftruncate(fd, 0));
    say(" (%d)", errno);
    errno = 0;
    say(" pread %d\n", (int)pread(fd, bytes, 8, 5));
    close(fd);
}

int main(void)
{
    char byte = 1;
    device("/dev/null");
    device("/dev/zero");
    device("/dev/full");
    device("/dev/random");
    device("/dev/urandom");
    int zero = open("/dev/zero", O_RDWR);
    char *map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 4096);
    say("%d", map[5000]);
    map[5000] = 3;
    say(" %d\n", map[5000]);
    char *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    pid_t child = fork();
    if (child == 0) {
        shared[1] = 9;
        _exit(0);
    }
    wait_and_say("child", child);
    say("%d\n", shared[1]);
    int null = open("/dev/null", O_RDWR);
    say("%d\n", mmap(0, 4096, PROT_READ, MAP_PRIVATE, null, 0) == MAP_FAILED ? errno : 0);
    try(write(null, (void *)8, 100));
    try(truncate("/dev/null", 100));
    try(mknod("mine", S_IFCHR | 0600, makedev(1, 3)));
    int mine = open("mine", O_RDWR);
    try(read(mine, &byte, 1));
    try(write(mine, &byte, 1));
    try(mknod("mine", S_IFCHR | 0600, makedev(1, 3)));
    try(mknod("nobody", S_IFCHR | 0600, makedev(250, 99)));
    try(open("nobody", O_RDONLY));
    try(mknod("plain", S_IFREG | 0640, 0));
    try(mknod("untyped", 0600, 0));
    try(mknod("dir", S_IFDIR | 0700, 0));
    try(mknod("link", S_IFLNK | 0700, 0));
    try(mknod("pipe", S_IFIFO | 0600, 0));
    try(mknod("none/x", S_IFIFO | 0600, 0));
    try(mknod("plain/", S_IFIFO | 0600, 0));
    static const char *left[] = {"mine", "nobody", "plain", "untyped", "pipe"};
    for (int i = 0; i < 5; i++) {
        struct stat status;
        stat(left[i], &status);
        say("%s %o\n", left[i], status.st_mode);
        unlink(left[i]);
    }
    return 0;
}
