/* Who shares a file offset: dup, dup2, fork, a second open? And what about the close-on-exec flag? */
#include "say.h"

int main(void)
{
    const char *name = "/tmp/cr3lab-dup";
    char buffer[16] = "";
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), other = open(name, O_RDONLY);
    unlink(name);
    write(fd, "0123456789", 10);
    int copy = dup(fd);
    try(lseek(copy, 0, SEEK_CUR));
    try(lseek(other, 0, SEEK_CUR));
    lseek(copy, 2, SEEK_SET);
    try(read(fd, buffer, 3));
    say("'%s'\n", buffer);
    pid_t child = fork();
    if (child == 0) {
        read(fd, buffer, 2);
        say("child reads '%.2s'\n", buffer);
        _exit(0);
    }
    wait_and_say("child", child);
    try(lseek(fd, 0, SEEK_CUR));
    try(fcntl(fd, F_GETFD));
    try(fcntl(copy, F_GETFD));
    try(dup2(fd, 40));
    try(dup2(fd, fd));
    try(dup2(99, 41));
    try(dup2(fd, -1));
    try(dup3(fd, fd, 0));
    try(dup3(fd, 42, O_CLOEXEC));
    try(fcntl(42, F_GETFD));
    try(fcntl(fd, F_DUPFD, 50));
    try(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    try(fcntl(fd, F_GETFL) & O_ACCMODE);
    try(fcntl(other, F_GETFL) & O_ACCMODE);
    close(fd);
    try(lseek(copy, 0, SEEK_END));
    try(fcntl(fd, F_GETFD));
    return 0;
}
