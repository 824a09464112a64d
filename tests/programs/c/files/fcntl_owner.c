/* Which owner, signal, flags and hints does fcntl keep for an open file, and which does it refuse? */
#include "say.h"
#include <limits.h>

struct owner {
    int type, pid;
};

int main(void)
{
    int ends[2];
    pipe(ends);
    int fd = ends[0], copy = dup(fd);
    struct owner owner = {9, 9};
    try(fcntl(fd, 16, &owner));
    say("type %d pid %d\n", owner.type, owner.pid);
    try(fcntl(fd, F_SETOWN, getpid()));
    say("mine: %d\n", fcntl(copy, F_GETOWN) == getpid());
    try(fcntl(fd, 16, &owner));
    say("type %d mine %d\n", owner.type, owner.pid == getpid());
    try(fcntl(fd, F_SETOWN, -getpgrp()));
    try(fcntl(fd, 16, &owner));
    say("type %d mine %d\n", owner.type, owner.pid == getpgrp());
    try(fcntl(fd, F_SETOWN, 0));
    try(fcntl(fd, F_SETOWN, 1 << 30));
    try(fcntl(fd, F_SETOWN, -(1 << 30)));
    try(fcntl(fd, F_SETOWN, INT_MIN));
    try(fcntl(fd, F_GETOWN));
    owner = (struct owner){3, getpid()};
    try(fcntl(fd, 15, &owner));
    owner.type = 0;
    try(fcntl(fd, 15, &owner));
    try(fcntl(fd, 15, 8));
    try(fcntl(fd, 16, 8));
    try(fcntl(fd, 10, 65));
    try(fcntl(fd, 10, SIGUSR1));
    try(fcntl(copy, 11));
    try(fcntl(fd, 10, 0));
    try(fcntl(fd, 1024, F_RDLCK) == -1 ? -1 : 0);
    try(fcntl(fd, 1025));
    uint64_t hint = 7;
    int file = open("/tmp/cr3lab-hint", O_RDWR | O_CREAT, 0600);
    unlink("/tmp/cr3lab-hint");
    try(fcntl(file, 1035, &hint));
    say("hint %ld\n", (long)hint);
    hint = 6;
    try(fcntl(file, 1036, &hint));
    hint = 3;
    try(fcntl(file, 1036, &hint));
    hint = 0;
    try(fcntl(file, 1035, &hint));
    say("hint %ld\n", (long)hint);
    try(fcntl(file, 1035, 8));
    try(fcntl(file, 4096));
    try(fcntl(file, -1));
    try(fcntl(file, F_DUPFD, -1));
    try(fcntl(file, F_DUPFD, 1 << 30));
    try(fcntl(file, F_DUPFD, 100));
    try(fcntl(file, F_DUPFD_CLOEXEC, 100));
    try(fcntl(101, F_GETFD));
    try(fcntl(100, F_GETFD));
    try(fcntl(100, F_SETFD, 3));
    try(fcntl(100, F_GETFD));
    try(fcntl(file, F_SETFL, O_APPEND | O_NONBLOCK | O_RDONLY | O_CREAT | O_EXCL));
    say("flags %o\n", fcntl(file, F_GETFL));
    int place = open("/tmp", O_PATH | O_CLOEXEC);
    say("flags %o\n", fcntl(place, F_GETFL));
    try(fcntl(place, F_SETFL, 0));
    try(fcntl(place, F_GETFD));
    try(fcntl(place, F_DUPFD, 200));
    return 0;
}
