/* Who sees writes to a mapped file: MAP_SHARED, MAP_PRIVATE, read(2), write(2), msync, parent and child? */
#include "say.h"

int main(void)
{
    char buffer[8] = "", *shared, *private;
    int fd = open("/tmp/cr3lab-map", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-map");
    ftruncate(fd, 8192);
    pwrite(fd, "file", 4, 0);
    shared = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    say("%.4s %.4s\n", shared, private);
    memcpy(shared, "SHAR", 4);
    pread(fd, buffer, 4, 0);
    say("after a shared write: read %.4s, private %.4s\n", buffer, private);
    memcpy(private, "PRIV", 4);
    pread(fd, buffer, 4, 0);
    say("after a private write: read %.4s, shared %.4s\n", buffer, shared);
    pwrite(fd, "NEWS", 4, 0);
    say("after write(2): shared %.4s, private %.4s\n", shared, private);
    pid_t child = fork();
    if (child == 0) {
        memcpy(shared + 4096, "kid", 3);
        memcpy(private, "kidp", 4);
        _exit(msync(shared, 8192, MS_SYNC));
    }
    wait_and_say("child", child);
    say("parent: shared %.3s, private %.4s\n", shared + 4096, private);
    pread(fd, buffer, 3, 4096);
    say("read %.3s\n", buffer);
    try(msync(shared, 8192, MS_ASYNC));
    try(msync(shared, 8192, MS_SYNC | MS_ASYNC));
    try(msync(shared + 1, 4096, MS_SYNC));
    try(munmap(shared, 8192));
    try(msync(shared, 4096, MS_SYNC));
    close(fd);
    say("after close: private %.4s\n", private);
    fd = open("/tmp/cr3lab-map", O_RDONLY | O_CREAT, 0600);
    unlink("/tmp/cr3lab-map");
    say("read-only file, shared writable: %d", mmap(0, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("private writable: %d\n", mmap(0, 4096, PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    return 0;
}
