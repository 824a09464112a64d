/* What do the limits refuse to whom, and which of them does a process notice? */
#include "say.h"
#include <sys/resource.h>

static long set(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    return syscall(SYS_prlimit64, 0, what, &limit, 0);
}

int main(void)
{
    struct rlimit limit;
    int fds[8];
    try(set(RLIMIT_NOFILE, 10, 5));
    try(set(16, 1, 1));
    try(set(-1, 1, 1));
    try(syscall(SYS_prlimit64, 0, RLIMIT_CPU, 8, 0));
    try(syscall(SYS_prlimit64, 0, RLIMIT_CPU, 0, 8));
    try(syscall(SYS_prlimit64, 0x3ffffff, RLIMIT_CPU, 0, &limit));
    try(set(RLIMIT_NOFILE, 1, 1ul << 40));
    try(set(RLIMIT_NOFILE, 6, 100));
    for (int i = 0; i < 4; i++)
        say("open: %d\n", (fds[i] = open("/dev/null", O_RDONLY)) >= 0 ? 1 : -errno);
    try(dup2(0, 6));
    try(dup2(0, 5));
    pid_t child = fork();
    if (child == 0) {
        syscall(SYS_setresuid, 100, 100, 100);
        getrlimit(RLIMIT_NOFILE, &limit);
        say("inherited %ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
        try(set(RLIMIT_NOFILE, 50, 101));
        try(set(RLIMIT_NOFILE, 100, 100));
        try(set(RLIMIT_NOFILE, 50, 50));
        try(set(RLIMIT_NOFILE, 50, 100));
        try(syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, 0, &limit));
        _exit(0);
    }
    wait_and_say("child", child);
    child = fork();
    if (child == 0) {
        try(set(RLIMIT_AS, 64 << 20, 64 << 20));
        say("100 MiB: %d\n", mmap(0, 100 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0);
        say("10 MiB: %d\n", mmap(0, 10 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0);
        try(set(RLIMIT_DATA, 1 << 20, RLIM_INFINITY));
        say("sbrk: %d\n", sbrk(4 << 20) == (void *)-1 ? errno : 0);
        _exit(0);
    }
    wait_and_say("child", child);
    return 0;
}
