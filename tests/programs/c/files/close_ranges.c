/* Which descriptors do close_range, dup2, dup3 and RLIMIT_NOFILE leave, and with which flags? */
#include "say.h"
#include <sys/resource.h>

static void show(const char *what)
{
    say("%s:", what);
    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0)
            say(" %d%s", fd, flags ? "c" : "");
    }
    say("\n");
}

int main(void)
{
    int fd = open("/dev/null", O_RDWR);
    for (int i = 0; i < 10; i++)
        dup(fd);
    show("ten copies");
    try(syscall(SYS_close_range, 5, 7, 0));
    show("without 5 to 7");
    try(syscall(SYS_close_range, 10, ~0u, 4));
    show("10 and up at exec");
    try(syscall(SYS_close_range, 12, 12, 2));
    try(syscall(SYS_close_range, 9, 8, 0));
    try(syscall(SYS_close_range, 9, 9, 8));
    try(syscall(SYS_close_range, 100, 200, 0));
    show("still");
    try(dup2(3, 6));
    try(dup3(3, 7, O_CLOEXEC));
    try(dup3(3, 3, 0));
    try(dup2(3, 3));
    try(dup3(3, 8, O_NONBLOCK));
    try(dup2(99, 3));
    try(dup2(99, 99));
    try(dup2(3, -1));
    try(dup2(3, 1 << 20));
    try(fcntl(3, F_DUPFD_CLOEXEC, 20));
    try(dup(10));
    try(fcntl(5, F_GETFD));
    show("now");
    struct rlimit limit = {16, 64};
    try(setrlimit(RLIMIT_NOFILE, &limit));
    try(dup2(3, 16));
    try(fcntl(3, F_DUPFD, 16));
    try(fcntl(3, F_DUPFD, 15));
    try(fcntl(3, F_DUPFD, 15));
    while (dup(3) >= 0)
        ;
    say("errno %d\n", errno);
    int ends[2];
    try(pipe(ends));
    try(open("/dev/null", O_RDONLY));
    try(openat(AT_FDCWD, "cr3lab-not-made", O_CREAT | O_WRONLY, 0600));
    try(access("cr3lab-not-made", F_OK));
    show("full");
    pid_t child = fork();
    if (child == 0) {
        syscall(SYS_close_range, 3, ~0u, 2);
        show("child");
        _exit(0);
    }
    wait_and_say("child", child);
    show("parent");
    try(close(99));
    try(close(-1));
    return 0;
}
