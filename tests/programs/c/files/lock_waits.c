/* Does F_SETLKW wait for the range, end early by a signal, and refuse to wait in a circle? */
#include "say.h"

static int fd;

static long lock(int command, int kind, off_t start)
{
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    return fcntl(fd, command, &range);
}

static void nothing(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
}

int main(void)
{
    int ready[2];
    char c;
    fd = open("/tmp/cr3lab-lockwait", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-lockwait");
    pipe(ready);
    try(lock(F_SETLK, F_WRLCK, 1));
    pid_t child = fork();
    if (child == 0) {
        try(lock(F_SETLK, F_WRLCK, 2));
        write(ready[1], "", 1);
        try(lock(F_SETLKW, F_WRLCK, 1)); /* until the parent lets go */
        say("child has both\n");
        _exit(0);
    }
    read(ready[0], &c, 1);
    rest(50);
    try(lock(F_SETLKW, F_WRLCK, 2)); /* would wait for the child, which waits for us */
    say("parent lets go\n");
    try(lock(F_SETLK, F_UNLCK, 1));
    wait_and_say("child", child);

    try(lock(F_SETLK, F_WRLCK, 1));
    child = fork();
    if (child == 0) {
        on(SIGUSR1, nothing, 0);
        on(SIGUSR2, nothing, SA_RESTART);
        write(ready[1], "", 1);
        try(lock(F_SETLKW, F_RDLCK, 1));
        write(ready[1], "", 1);
        try(lock(F_SETLKW, F_RDLCK, 1));
        _exit(0);
    }
    read(ready[0], &c, 1);
    rest(50);
    kill(child, SIGUSR1);
    read(ready[0], &c, 1);
    rest(50);
    kill(child, SIGUSR2);
    rest(50);
    say("and now\n");
    try(lock(F_SETLK, F_UNLCK, 1));
    wait_and_say("child", child);

    /* A circle of three. */
    pid_t children[2];
    try(lock(F_SETLK, F_WRLCK, 10));
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            lock(F_SETLK, F_WRLCK, 11 + i);
            write(ready[1], "", 1);
            rest(30 * (i + 1));
            int failed = lock(F_SETLKW, F_WRLCK, 10 + i) == -1;
            _exit(failed ? errno : 0);
        }
    }
    read(ready[0], &c, 1);
    read(ready[0], &c, 1);
    rest(150);
    try(lock(F_SETLKW, F_WRLCK, 12));
    try(lock(F_SETLK, F_UNLCK, 10));
    wait_and_say("first", children[0]);
    wait_and_say("second", children[1]);
    return 0;
}
