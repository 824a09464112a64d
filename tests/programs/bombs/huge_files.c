/* Files: sparse ones of any size cost nothing, full ones and too many end with ENOSPC; deleted, everything is free. */
#include "bomb.h"

static char block[1 << 16];

static long fill(const char *path)
{
    long done = 0, n;
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    while ((n = write(fd, block, sizeof block)) > 0)
        done += n;
    return done;
}

int main(void)
{
    chdir("/tmp");
    int fd = open("sparse", O_CREAT | O_RDWR, 0600);
    say("a sparse file: %d\n", ftruncate(fd, 1l << 60));
    for (long at = 1; at < 1l << 60; at <<= 1)
        pwrite(fd, "x", 1, at);
    struct stat about;
    fstat(fd, &about);
    say("blocks: %d\n", (int)about.st_blocks);
    close(fd);
    unlink("sparse");
    long first = fill("full");
    say("a full file: %s, some %d\n", name_of(errno), first > 1 << 20);
    say("truncate: %d\n", truncate("full", 0));
    long second = fill("full");
    say("again: %s, as much %d\n", name_of(errno), second == first);
    unlink("full");
    return 0;
}
