/* What does RLIMIT_FSIZE let through, and do nice values come and go as they should? */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void count(int signo) { signals += signo; }

static void show(const char *what, long result)
{
    printf("%s: %ld%s%s, signals %d\n", what, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "",
           (int)signals);
    signals = 0;
}

static void limits(void)
{
    char data[100], name[] = "size_limit.XXXXXX";
    struct rlimit limit = {150, 200};
    struct stat status;
    int fd = mkstemp(name), ends[2];
    memset(data, 'x', sizeof data);
    unlink(name);
    signal(SIGXFSZ, count);
    show("setrlimit", setrlimit(RLIMIT_FSIZE, &limit));
    show("below", write(fd, data, 100));
    show("across", write(fd, data, 100));
    show("behind", write(fd, data, 1));
    show("nothing behind", write(fd, data, 0));
    show("pwrite below", pwrite(fd, data, 100, 100));
    show("pwrite behind", pwrite(fd, data, 1, 150));
    show("ftruncate to the limit", ftruncate(fd, 150));
    show("ftruncate beyond", ftruncate(fd, 151));
    show("fallocate beyond", posix_fallocate(fd, 100, 100));
    fcntl(fd, F_SETFL, O_APPEND);
    show("append", write(fd, data, 1));
    fstat(fd, &status);
    show("size", status.st_size);
    pipe(ends);
    show("pipe", write(ends[1], data, 100) + write(ends[1], data, 100));
    signal(SIGXFSZ, SIG_IGN);
    show("ignored", write(fd, data, 1));
    signal(SIGXFSZ, SIG_DFL);
    fflush(stdout);
    if (!fork())
        _exit(write(fd, data, 1));
    int how;
    wait(&how);
    printf("by default: %s\n", WIFSIGNALED(how) ? strsignal(WTERMSIG(how)) : "lives");
    limit.rlim_cur = 200;
    setrlimit(RLIMIT_FSIZE, &limit);
    show("a higher limit", write(fd, data, 100));
    limit.rlim_cur = 201;
    show("above the hard limit", setrlimit(RLIMIT_FSIZE, &limit));
}

static void nice_values(void)
{
    errno = 0;
    show("at first", getpriority(PRIO_PROCESS, 0));
    show("nicer", setpriority(PRIO_PROCESS, 0, 5));
    show("nice", nice(3));
    show("now", getpriority(PRIO_PROCESS, getpid()));
    fflush(stdout);
    if (!fork()) {
        setpgid(0, 0);
        show("inherited", getpriority(PRIO_PGRP, 0));
        show("too nice", setpriority(PRIO_PGRP, 0, 100));
        show("at most", getpriority(PRIO_PROCESS, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show("not the child's", getpriority(PRIO_PROCESS, 0));
    show("no such process", getpriority(PRIO_PROCESS, 4194000));
    show("no such kind", getpriority(9, 0));
    show("no such kind to set", setpriority(-1, 0, 0));
}

int main(void)
{
    nice_values();
    limits();
    return 0;
}
