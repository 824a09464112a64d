/* Do system calls report pointers into nowhere with EFAULT, do what they can before, and never kill the caller? */
#include "say.h"

int main(void)
{
    char *area = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *bad = area + 4096;
    int ends[2];
    if (pipe(ends))
        return 1;
    mprotect(bad, 4096, PROT_NONE);
    try(write(ends[1], bad, 1));
    try(write(ends[1], "0123456789abcdef", 16));
    try(read(ends[0], bad - 4, 4));
    try(read(ends[0], bad, 1));
    try(syscall(SYS_open, bad, O_RDONLY));
    try(syscall(SYS_open, (char *)-4096L, O_RDONLY));
    try(syscall(SYS_stat, "/tmp", bad));
    try(syscall(SYS_pipe, bad));
    try(syscall(SYS_wait4, -1, bad, 0, 0));
    try(syscall(SYS_rt_sigaction, SIGUSR1, bad, 0, 8));
    try(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, 0, 8));
    try(syscall(SYS_nanosleep, bad, 0));
    try(syscall(SYS_clock_gettime, 1, bad));
    try(syscall(SYS_getrandom, bad, 10, 0));
    try(syscall(SYS_uname, bad));
    try(syscall(SYS_getcwd, bad, 4096));
    try(syscall(SYS_execve, bad, 0, 0));
    try(syscall(SYS_sigaltstack, bad, 0));
    try(syscall(SYS_mincore, area, 4096, bad));
    try(syscall(SYS_prlimit64, 0, 7, bad, 0));
    try(syscall(SYS_poll, bad, 1, 0));
    try(syscall(SYS_writev, ends[1], bad, 1));
    mprotect(bad, 4096, PROT_READ);
    try(read(ends[0], bad, 1));
    try(syscall(SYS_uname, bad));
    pid_t child = fork();
    if (child == 0)
        _exit(syscall(SYS_wait4, -1, bad, 0, 0) != -1);
    try(syscall(SYS_wait4, child, bad, 0, 0) == child);
    return 0;
}
