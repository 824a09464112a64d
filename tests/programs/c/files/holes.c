/* Where are data and holes after sparse writes, truncation, fallocate in each mode and punching, and what is refused? */
#include "say.h"

static int fd;

static void map(const char *what)
{
    off_t at = 0, end = lseek(fd, 0, SEEK_END);
    say("%s: size %ld:", what, (long)end);
    while (at < end) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0) {
            say(" (%d)", errno);
            break;
        }
        off_t hole = lseek(fd, data, SEEK_HOLE);
        say(" %ld-%ld", (long)data, (long)hole);
        at = hole;
    }
    say("\n");
}

int main(void)
{
    fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int reader = open("sparse", O_RDONLY), ends[2];
    pipe(ends);
    map("empty");
    pwrite(fd, "x", 1, 0);
    pwrite(fd, "y", 1, 20000);
    map("two pages");
    ftruncate(fd, 50000);
    map("longer");
    ftruncate(fd, 20480);
    ftruncate(fd, 8192);
    map("shorter");
    static char block[65536];
    memset(block, 7, sizeof block);
    pwrite(fd, block, sizeof block, 0);
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
    map("punched");
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20000, 100));
    char bytes[4];
    pread(fd, bytes, 4, 19998);
    say("%d %d %d %d\n", bytes[0], bytes[1], bytes[2], bytes[3]);
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 60000, 100000));
    map("punched over the end");
    try(fallocate(fd, FALLOC_FL_KEEP_SIZE, 65536, 4096));
    say("size %ld\n", (long)lseek(fd, 0, SEEK_END));
    try(fallocate(fd, 0, 100000, 10));
    say("size %ld\n", (long)lseek(fd, 0, SEEK_END));
    try(fallocate(fd, 16 /* FALLOC_FL_ZERO_RANGE */, 0, 100));
    pread(fd, bytes, 2, 99);
    say("%d %d\n", bytes[0], bytes[1]);
    try(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1));
    try(fallocate(fd, 0, 0, 0));
    try(fallocate(fd, 0, -1, 5));
    try(fallocate(fd, 0, 5, -1));
    try(fallocate(fd, 0, INT64_MAX, 1));
    try(fallocate(fd, 1 << 20, 0, 1));
    try(fallocate(reader, 0, 0, 1));
    try(fallocate(ends[1], 0, 0, 1));
    try(fallocate(open("/dev/null", O_RDWR), 0, 0, 1));
    try(fallocate(-1, 0, 0, 1));
    try(ftruncate(fd, -1));
    try(ftruncate(reader, 1));
    try(ftruncate(ends[1], 1));
    try(truncate("sparse", -1));
    try(truncate(".", 1));
    try(truncate("none", 1));
    try(truncate("/dev/null", 1));
    try(lseek(fd, -1, SEEK_SET));
    try(lseek(fd, 1000000, SEEK_DATA));
    try(lseek(fd, 1000000, SEEK_HOLE));
    try(lseek(fd, -1, SEEK_HOLE));
    try(lseek(fd, 0, 5));
    try(lseek(fd, INT64_MAX, SEEK_CUR));
    try(lseek(fd, -5, SEEK_CUR) >= 0);
    try(lseek(ends[0], 0, SEEK_SET));
    try(lseek(fd, 1ll << 40, SEEK_SET) == 1ll << 40);
    try(read(fd, bytes, 4));
    try(lseek(fd, 0, SEEK_CUR) == 1ll << 40);
    unlink("sparse");
    return 0;
}
