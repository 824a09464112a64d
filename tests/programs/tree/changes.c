/* Every way to change a tree, below the working directory: what is left behind is compared. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define try(call)                                                                                                      \
    do {                                                                                                               \
        long result_ = (long)(call);                                                                                   \
        printf("%s: %ld %s\n", #call, result_ == -1 ? -1 : result_, result_ == -1 ? strerror(errno) : "");            \
    } while (0)

static void put(const char *name, const char *text, int flags)
{
    int fd = open(name, O_WRONLY | O_CREAT | flags, 0644);
    printf("%s: %zd\n", name, write(fd, text, strlen(text)));
    close(fd);
}

int main(void)
{
    umask(022);
    /* what is there already */
    try(mkdir("old", 0755));
    try(open("old/none", O_RDONLY));
    put("old/text", "CHANGED", 0);
    put("old/appended", "more", O_APPEND);
    put("old/emptied", "", O_TRUNC);
    try(rename("old/moved", "old/deep/there"));
    try(unlink("old/removed"));
    try(rmdir("old/full"));
    try(unlink("old/full/inside"));
    try(rmdir("old/full"));
    try(chmod("old/text", 0600));
    try(link("old/text", "old/linked"));
    put("old/linked", "L", 0);
    /* what is new */
    try(mkdir("new", 0777));
    try(mkdir("new/sub", 02775));
    try(mkdir("new/sub/deeper", 0700));
    put("new/sub/deeper/file", "some text\n", 0);
    try(rename("new/sub", "new/renamed"));
    put("new/renamed/deeper/file", "other", O_APPEND);
    put("new/renamed/deeper/two", "2", 0);
    try(symlink("renamed/deeper/file", "new/link"));
    put("new/link", "through ", 0);
    try(symlink("/absolute/nowhere", "new/dangling"));
    put("new/dangling", "lost", 0);
    try(mkfifo("new/fifo", 0640));
    try(rename("new/renamed/deeper/two", "old/appended"));
    try(rename("new/none", "new/other"));
    /* content */
    int fd = open("new/content", O_RDWR | O_CREAT | O_EXCL, 0666);
    try(ftruncate(fd, 20000));
    try(pwrite(fd, "sparse", 6, 70000));
    try(pwrite(fd, "x", 1, 4095));
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 69998, 4));
    char *map = mmap(0, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memcpy(map + 8000, "mapped over a page border, that is what this is", 47);
    memset(map + 8192 - 5, '#', 10);
    char *private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    memcpy(private, "never", 5);
    try(msync(map, 20000, MS_SYNC));
    if (fork() == 0) {
        memcpy(map + 12288, "from the child", 14);
        _exit(0);
    }
    wait(0);
    close(fd);
    memcpy(map + 16384, "after close", 11);
    munmap(map, 20000);
    fd = open("new/gone", O_RDWR | O_CREAT, 0600);
    write(fd, "kept", 4);
    try(unlink("new/gone"));
    char back[8] = {0};
    try(pwrite(fd, "K", 1, 0));
    try(pread(fd, back, 4, 0));
    printf("%s\n", back);
    try(fchmod(fd, 0644));
    close(fd);
    fd = open("new", O_TMPFILE | O_RDWR, 0600);
    write(fd, "nameless", 8);
    char self[64];
    sprintf(self, "/proc/self/fd/%d", fd);
    try(linkat(AT_FDCWD, self, AT_FDCWD, "new/named", AT_SYMLINK_FOLLOW));
    write(fd, " no more", 8);
    close(fd);
    put("new/victim", "victim", 0);
    fd = open("new/victim", O_RDONLY);
    put("new/winner", "winner", 0);
    try(rename("new/winner", "new/victim"));
    try(read(fd, back, 6));
    printf("%.6s\n", back);
    close(fd);
    struct timespec times[2] = {{1000000000, 5}, {1234567890, 987654321}};
    try(utimensat(AT_FDCWD, "new/victim", times, 0));
    try(chmod("new/renamed", 01777));
    DIR *dir = opendir("new/renamed/deeper");
    int count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    printf("%d names\n", count);
    return 0;
}
