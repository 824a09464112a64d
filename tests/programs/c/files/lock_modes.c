/* Who may lock what: read locks shared, write locks alone, and only through a descriptor that may do the same? */
#include "say.h"

static long lock(int fd, int command, int kind)
{
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET};
    return fcntl(fd, command, &range);
}

int main(void)
{
    const char *name = "/tmp/cr3lab-lockmodes";
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int reader = open(name, O_RDONLY), writer = open(name, O_WRONLY), place = open(name, O_PATH);
    try(lock(reader, F_SETLK, F_WRLCK));
    try(lock(writer, F_SETLK, F_RDLCK));
    try(lock(place, F_SETLK, F_RDLCK));
    try(lock(reader, F_SETLK, F_RDLCK));
    pid_t child = fork();
    if (child == 0) {
        try(lock(fd, F_SETLK, F_RDLCK));
        try(lock(fd, F_SETLK, F_WRLCK));
        try(lock(fd, F_SETLKW, F_UNLCK));
        _exit(0);
    }
    wait_and_say("child", child);
    try(lock(fd, F_SETLK, F_WRLCK));
    child = fork();
    if (child == 0) {
        try(lock(fd, F_SETLK, F_RDLCK));
        struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_pid = 77};
        try(fcntl(fd, F_GETLK, &range));
        say("type %d whence %d start %ld length %ld parent's %d\n", range.l_type, range.l_whence, (long)range.l_start,
            (long)range.l_len, range.l_pid == getppid());
        _exit(0);
    }
    wait_and_say("child", child);
    close(reader); /* any descriptor of the file: all locks are gone */
    child = fork();
    if (child == 0) {
        try(lock(fd, F_SETLK, F_WRLCK));
        _exit(0);
    }
    wait_and_say("child", child);
    /* and those of a process that ended */
    try(lock(fd, F_SETLK, F_WRLCK));
    int directory = open("/tmp", O_RDONLY | O_DIRECTORY), ends[2];
    try(lock(directory, F_SETLK, F_RDLCK));
    pipe(ends);
    try(lock(ends[0], F_SETLK, F_RDLCK));
    try(lock(-1, F_SETLK, F_RDLCK));
    unlink(name);
    return 0;
}
