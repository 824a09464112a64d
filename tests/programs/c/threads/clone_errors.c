/* Which combinations of flags, stacks and sizes do clone and clone3 refuse, and with which errno? */
#include "say.h"
#include <sched.h>

struct args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
    uint64_t more[2];
};

static long clone3(struct args *a, size_t size)
{
    long pid = syscall(SYS_clone3, a, size);
    if (!pid)
        _exit(0);
    if (pid > 0)
        waitpid(pid, 0, __WALL);
    return pid > 0 ? 1 : pid;
}

#define with(...) clone3(&(struct args){__VA_ARGS__}, 88)

int main(void)
{
    struct args plain = {.exit_signal = SIGCHLD}, more = {.exit_signal = SIGCHLD, .more = {0, 1}};
    pid_t taken = getpid(), zero = 0;

    try(clone3(&plain, 64));
    try(clone3(&plain, 80));
    try(clone3(&plain, 88));
    try(clone3(&plain, 63));
    try(clone3(&plain, 0));
    try(clone3(&plain, 5000));
    try(clone3(&plain, 96));
    try(clone3(&more, 104));
    try(clone3(0, 64));
    try(with(.exit_signal = 65));
    signal(64, SIG_IGN);
    try(with(.exit_signal = 64));
    try(with(.exit_signal = 1ull << 32));
    try(with(.flags = CLONE_SIGHAND));
    try(with(.flags = CLONE_THREAD | CLONE_VM));
    try(with(.flags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, .exit_signal = SIGCHLD));
    try(with(.flags = CLONE_PARENT, .exit_signal = SIGCHLD));
    try(with(.flags = SIGCHLD));
    try(with(.flags = 0x400000)); /* CLONE_DETACHED */
    try(with(.flags = 1ull << 40));
    try(with(.flags = 0x100000000 | CLONE_SIGHAND | CLONE_VM)); /* CLONE_CLEAR_SIGHAND */
    try(with(.flags = 0x100000000, .exit_signal = SIGCHLD));
    try(with(.stack = 4096));
    try(with(.stack_size = 4096));
    try(with(.stack = -8192ull, .stack_size = 4096));
    try(with(.set_tid = (uint64_t)&taken));
    try(with(.set_tid_size = 1));
    try(with(.set_tid = 8, .set_tid_size = 1));
    try(with(.set_tid = (uint64_t)&taken, .set_tid_size = 33));
    try(with(.set_tid = (uint64_t)&zero, .set_tid_size = 1));
    try(with(.set_tid = (uint64_t)&taken, .set_tid_size = 1, .exit_signal = SIGCHLD));
    pid_t wanted = 30000;
    while (!kill(wanted, 0))
        wanted--;
    struct args chosen = {.set_tid = (uint64_t)&wanted, .set_tid_size = 1, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &chosen, sizeof chosen - 16);
    if (!pid)
        _exit(getpid() == wanted ? 11 : 12);
    say("chosen: %d\n", pid == wanted);
    wait_and_say("chosen", pid);

    try(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
    try(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
    try(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0));
    pid = syscall(SYS_clone, SIGCHLD | 0x400000 | 0x80000000 | 0x2000, 0, 8, 0, 0); /* of no effect, and a bad ptid */
    if (!pid)
        _exit(13);
    wait_and_say("clone", pid);
    return 0;
}
