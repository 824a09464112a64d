/* How do the positional and vectored reads and writes treat offsets, flags, empty vectors and bad ones? */
/* not musl: it has no preadv2 and pwritev2 */
#include "say.h"

int main(void)
{
    char a[8] = {0}, b[8] = {0};
    struct iovec out[3] = {{"one-", 4}, {0, 0}, {"two", 3}}, in[2] = {{a, 3}, {b, 8}}, bad[2] = {{a, 3}, {(void *)8, 4}};
    struct iovec negative[1] = {{a, (size_t)-1}};
    int fd = open("vectors", O_RDWR | O_CREAT | O_TRUNC, 0600), appending = open("vectors", O_WRONLY | O_APPEND), ends[2];
    int reader = open("vectors", O_RDONLY), dir = open(".", O_RDONLY);
    pipe(ends);
    try(writev(fd, out, 3));
    try(pwritev(fd, out, 3, 20));
    say("position %ld size %ld\n", (long)lseek(fd, 0, SEEK_CUR), (long)lseek(fd, 0, SEEK_END));
    try(preadv(fd, in, 2, 1));
    say("%s %s\n", a, b);
    try(preadv2(fd, in, 2, 20, RWF_HIPRI * 0));
    lseek(fd, 2, SEEK_SET);
    try(preadv2(fd, in, 2, -1, 0));
    say("%s %s position %ld\n", a, b, (long)lseek(fd, 0, SEEK_CUR));
    try(pwritev2(fd, out, 1, 0, RWF_APPEND));
    say("position %ld size %ld\n", (long)lseek(fd, 0, SEEK_CUR), (long)lseek(reader, 0, SEEK_END));
    try(pwritev2(fd, out, 1, -1, RWF_APPEND));
    say("position %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    try(pwritev2(fd, out, 1, 0, RWF_SYNC | RWF_DSYNC));
    try(pwritev2(fd, out, 1, 0, 1 << 20));
    try(preadv2(fd, in, 1, 0, 1 << 20));
    try(preadv2(fd, in, 1, -2, 0));
    try(pwrite(appending, "end", 3, 0)); /* O_APPEND wins, as in Linux */
    say("size %ld\n", (long)lseek(reader, 0, SEEK_END));
    try(preadv(fd, in, 2, -1));
    try(preadv(fd, in, 0, 0));
    try(preadv(fd, in, -1, 0));
    try(preadv(fd, in, 1025, 0));
    try(readv(fd, negative, 1));
    try(readv(fd, (void *)8, 1));
    lseek(fd, 0, SEEK_SET);
    try(readv(fd, bad, 2));
    try(readv(fd, bad + 1, 1));
    try(writev(fd, bad + 1, 1));
    try(pread(fd, a, 4, 1000));
    try(pread(fd, a, 0, 0));
    try(pread(fd, a, 1, -1));
    try(pwrite(fd, a, 1, INT64_MAX));
    try(pread(ends[0], a, 1, 0));
    try(pwrite(ends[1], a, 1, 0));
    try(preadv2(ends[0], in, 1, 0, 0));
    write(ends[1], "pipe", 4);
    try(preadv2(ends[0], in, 1, -1, 0));
    try(pread(dir, a, 1, 0));
    try(read(dir, a, 1));
    try(read(dir, a, 0));
    try(pwrite(reader, a, 1, 0));
    try(pread(appending, a, 1, 0));
    try(write(reader, a, 1));
    try(read(appending, a, 1));
    try(read(-1, a, 1));
    try(read(fd, (char *)8, 1));
    lseek(fd, 0, SEEK_END);
    try(read(fd, (char *)8, 1)); /* nothing there to store */
    try(write(fd, (char *)8, 0));
    try(write(fd, (char *)8, 1));
    try(read(fd, a, (size_t)-1));
    unlink("vectors");
    return 0;
}
