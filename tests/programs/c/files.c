/* Do open flags, offsets, holes, truncation, rename, links and unlink of an open file behave? */
#include "say.h"

int main(void)
{
    char a[] = "/tmp/cr3lab-file-a", b[] = "/tmp/cr3lab-file-b", buffer[32] = "";
    struct stat st;
    unlink(a), unlink(b);
    try(open(a, O_RDONLY));
    int fd = open(a, O_RDWR | O_CREAT | O_EXCL, 0640);
    say("%d\n", fd >= 0);
    try(open(a, O_RDWR | O_CREAT | O_EXCL, 0640));
    try(write(fd, "hello world", 11));
    try(lseek(fd, -5, SEEK_END));
    try(read(fd, buffer, 31));
    say("%s\n", buffer);
    try(lseek(fd, 10000, SEEK_SET));
    try(write(fd, "!", 1));
    fstat(fd, &st);
    say("size %ld mode %o links %ld regular %d\n", (long)st.st_size, st.st_mode & 0777, (long)st.st_nlink, S_ISREG(st.st_mode));
    try(pread(fd, buffer, 2, 9000));
    say("hole %d %d\n", buffer[0], buffer[1]);
    try(lseek(fd, -1, SEEK_SET));
    try(lseek(fd, 0, 99));
    try(ftruncate(fd, 5));
    try(pread(fd, buffer, 31, 0));
    say("%.5s\n", buffer);
    try(link(a, b));
    stat(b, &st);
    say("links %ld\n", (long)st.st_nlink);
    int append = open(b, O_WRONLY | O_APPEND);
    try(write(append, "+1", 2));
    try(pwrite(fd, "J", 1, 0));
    try(read(append, buffer, 1));
    try(unlink(a));
    try(access(a, F_OK));
    try(rename(b, a));
    try(access(b, F_OK));
    memset(buffer, 0, sizeof buffer);
    try(pread(fd, buffer, 31, 0));
    say("%s\n", buffer);
    try(unlink(a));
    try(pwrite(fd, "zombie", 6, 0));
    try(pread(fd, buffer, 31, 0));
    fstat(fd, &st);
    say("links %ld\n", (long)st.st_nlink);
    try(close(fd));
    try(close(fd));
    try(read(fd, buffer, 1));
    fd = open("/tmp", O_RDONLY);
    try(read(fd, buffer, 1));
    try(open("/tmp", O_WRONLY));
    try(symlink("cr3lab-nowhere", a));
    try(open(a, O_RDONLY));
    try(open(a, O_RDONLY | O_NOFOLLOW));
    try(readlink(a, buffer, 31));
    try(unlink(a));
    return 0;
}
