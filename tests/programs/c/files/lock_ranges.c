/* Which byte ranges does a process's record lock cover after overlapping, splitting, joining and unlocking? */
#include "say.h"

static int fd, to_child[2], to_parent[2];

static long lock(int kind, int whence, off_t start, off_t length)
{
    struct flock range = {.l_type = kind, .l_whence = whence, .l_start = start, .l_len = length};
    return fcntl(fd, F_SETLK, &range);
}

/* What stands in the way of writing each of these bytes, as another process sees it. */
static void show(const char *what)
{
    char go = 1;
    say("%s:", what);
    write(to_child[1], &go, 1);
    read(to_parent[0], &go, 1);
    say("\n");
}

static void look(void)
{
    char go;
    off_t at = 0;
    pid_t parent = getppid();
    while (read(to_child[0], &go, 1) == 1) {
        at = 0;
        for (;;) {
            struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 0};
            if (fcntl(fd, F_GETLK, &range))
                say(" errno %d", errno);
            if (range.l_type == F_UNLCK)
                break;
            say(" %s[%ld,%ld)%s", range.l_type == F_RDLCK ? "r" : "w", (long)range.l_start,
                (long)(range.l_start + range.l_len), range.l_pid == parent ? "" : " not the parent's");
            if (!range.l_len)
                break;
            at = range.l_start + range.l_len;
        }
        write(to_parent[1], "", 1);
    }
    _exit(0);
}

int main(void)
{
    fd = open("/tmp/cr3lab-lock", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-lock");
    write(fd, "0123456789", 10);
    pipe(to_child);
    pipe(to_parent);
    pid_t child = fork();
    if (child == 0) {
        close(to_child[1]);
        look();
    }
    try(lock(F_WRLCK, SEEK_SET, 10, 20));
    show("one");
    try(lock(F_RDLCK, SEEK_SET, 15, 5));
    show("downgraded inside");
    try(lock(F_UNLCK, SEEK_SET, 17, 1));
    show("a hole");
    try(lock(F_WRLCK, SEEK_SET, 5, 5));
    show("touching the first");
    try(lock(F_RDLCK, SEEK_SET, 17, 1));
    show("joined again");
    try(lock(F_WRLCK, SEEK_CUR, 0, -10));
    show("before the position");
    try(lock(F_RDLCK, SEEK_END, -2, 4));
    show("around the end");
    try(lock(F_WRLCK, SEEK_SET, 100, 0));
    show("up to the end of all files");
    try(lock(F_UNLCK, SEEK_SET, 0, 0));
    show("none");
    try(lock(F_WRLCK, SEEK_SET, -1, 5));
    try(lock(F_WRLCK, SEEK_SET, 3, -4));
    try(lock(F_WRLCK, SEEK_SET, 3, -3));
    try(lock(F_WRLCK, 9, 0, 0));
    try(lock(9, SEEK_SET, 0, 0));
    try(lock(F_WRLCK, SEEK_END, INT64_MAX, 0));
    try(lock(F_WRLCK, SEEK_SET, INT64_MAX, 2));
    try(lock(F_WRLCK, SEEK_SET, INT64_MAX, 1));
    show("the last byte");
    try(fcntl(fd, F_SETLK, (void *)8));
    struct flock unlock = {.l_type = F_UNLCK};
    try(fcntl(fd, F_GETLK, &unlock));
    close(dup(fd));
    show("after closing another descriptor");
    close(to_child[1]);
    wait_and_say("child", child);
    return 0;
}
