/* Do SIGPIPE, SIGXFSZ and the errno behind them come as the limits and the readers say? */
#include "say.h"
#include <sys/resource.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d code %d from self %d\n", signo, info->si_code, info->si_pid == getpid());
}

int main(void)
{
    int ends[2];
    char page[4096] = {0};
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    pipe(ends);
    close(ends[0]);
    pid_t child = fork();
    if (child == 0) {
        write(ends[1], "x", 1);
        _exit(0);
    }
    wait_and_say("writer", child);
    on(SIGPIPE, handler, 0);
    try(write(ends[1], "x", 1));
    signal(SIGPIPE, SIG_IGN);
    try(write(ends[1], "x", 1));
    int fd = open("/tmp/cr3lab-fsize", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct rlimit limit = {5000, RLIM_INFINITY};
    try(setrlimit(RLIMIT_FSIZE, &limit));
    try(write(fd, page, 4096));
    try(write(fd, page, 4096)); /* as much as fits */
    child = fork();
    if (child == 0) {
        write(fd, page, 1);
        _exit(0);
    }
    wait_and_say("writer", child);
    on(SIGXFSZ, handler, 0);
    try(write(fd, page, 1));
    try(pwrite(fd, page, 1, 100000));
    try(pwrite(fd, page, 10, 0));
    try(ftruncate(fd, 5001));
    try(ftruncate(fd, 4999));
    signal(SIGXFSZ, SIG_IGN);
    try(ftruncate(fd, 5001));
    try(lseek(fd, 0, SEEK_END));
    unlink("/tmp/cr3lab-fsize");
    return 0;
}
