/* Do open-file locks (F_OFD_SETLK) belong to the open file: shared by dup and fork, apart between two opens? */
#include "say.h"

static long lock(int fd, int command, int kind, int pid)
{
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET, .l_len = 10, .l_pid = pid};
    return fcntl(fd, command, &range);
}

int main(void)
{
    const char *name = "/tmp/cr3lab-ofd";
    int one = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), two = open(name, O_RDWR), copy = dup(one);
    try(lock(one, F_OFD_SETLK, F_WRLCK, 5));
    try(lock(one, F_OFD_SETLK, F_WRLCK, 0));
    try(lock(two, F_OFD_SETLK, F_WRLCK, 0));
    try(lock(copy, F_OFD_SETLK, F_WRLCK, 0));
    try(lock(one, F_SETLK, F_RDLCK, 0)); /* the same process, but another kind of owner */
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    try(fcntl(two, F_OFD_GETLK, &range));
    say("type %d start %ld length %ld pid %d\n", range.l_type, (long)range.l_start, (long)range.l_len, range.l_pid);
    close(two);
    two = open(name, O_RDWR); /* closing another open file changed nothing */
    try(lock(two, F_OFD_SETLK, F_RDLCK, 0));
    pid_t child = fork();
    if (child == 0) {
        try(lock(one, F_OFD_SETLK, F_RDLCK, 0)); /* downgrades what the parent holds, too */
        _exit(0);
    }
    wait_and_say("child", child);
    try(lock(two, F_OFD_SETLK, F_RDLCK, 0));
    try(lock(two, F_OFD_SETLK, F_WRLCK, 0));
    close(one);
    try(lock(two, F_OFD_SETLK, F_WRLCK, 0));
    child = fork();
    if (child == 0) {
        close(two);
        close(copy);
        _exit(0);
    }
    wait_and_say("child", child);
    try(lock(two, F_OFD_SETLK, F_WRLCK, 0));
    close(copy);
    int ready[2];
    char c;
    pipe(ready);
    try(lock(two, F_OFD_SETLK, F_WRLCK, 0));
    child = fork();
    if (child == 0) {
        int mine = open(name, O_RDWR);
        close(two);
        write(ready[1], "", 1);
        try(lock(mine, F_OFD_SETLKW, F_WRLCK, 0));
        _exit(0);
    }
    read(ready[0], &c, 1);
    rest(40);
    say("closing\n");
    close(two);
    wait_and_say("child", child);
    unlink(name);
    return 0;
}
