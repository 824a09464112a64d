/* Do CLONE_SETTLS, PARENT_SETTID, CHILD_SETTID and CHILD_CLEARTID do what they say, for a thread made by hand? */
#include "say.h"
#include "futex.h"
#include <sched.h>

static char stack[16384] __attribute__((aligned(16)));
static volatile int parent_tid, child_tid = -1, seen, tls_ok, same;
static uint64_t block[8];

static int body(void *argument)
{
    uint64_t first;
    __asm__ volatile("movq %%fs:8, %0" : "=r"(first));
    tls_ok = first == 77;
    seen = child_tid;
    same = syscall(SYS_gettid) == child_tid; /* (errno is thread-local: nothing here may fail) */
    return *(int *)argument;
}

static void run(const char *what, int flags)
{
    int argument = 5;
    parent_tid = 0, child_tid = -1, seen = 0, same = 0, tls_ok = 0;
    block[0] = (uint64_t)block;
    block[1] = 77;
    pid_t pid = clone(body, stack + sizeof stack, flags, &argument, &parent_tid, block, &child_tid);
    if (flags & CLONE_THREAD)
        while (__atomic_load_n(&child_tid, __ATOMIC_SEQ_CST))
            syscall(SYS_futex, &child_tid, FUTEX_WAIT, pid, 0, 0, 0);
    else
        wait_and_say(what, pid);
    say("%s: parent's %d, child's own %d, tls %d, cleared %d\n", what, parent_tid == pid, seen == pid && same, tls_ok,
        child_tid == 0);
}

int main(void)
{
    const int thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    const int ids = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    unsigned long fs = 0, fs_now = 0;
    syscall(SYS_arch_prctl, ARCH_GET_FS, &fs);
    run("thread", thread | ids | CLONE_SETTLS);
    run("process with this memory", CLONE_VM | ids | CLONE_SETTLS | SIGCHLD);
    syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_now);
    say("own tls kept %d\n", fs == fs_now);
    try(syscall(SYS_arch_prctl, ARCH_SET_FS, 1ul << 47));
    try(syscall(SYS_arch_prctl, ARCH_SET_FS, -1ul));
    try(syscall(SYS_arch_prctl, 0x1234, 0));
    try(syscall(SYS_arch_prctl, ARCH_GET_FS, 8));
    try(syscall(SYS_set_thread_area, block)); /* 32-bit programs only */
    try(syscall(SYS_get_thread_area, block));
    return 0;
}
