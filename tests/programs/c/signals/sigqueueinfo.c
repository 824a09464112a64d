/* What may a process pretend in rt_sigqueueinfo(2), and what arrives of it? */
#include "say.h"

static unsigned char bytes[128];

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    unsigned char *raw = (void *)info;
    int same = 0;
    for (int i = 16; i < 128; i++)
        same += raw[i] == bytes[i];
    say("got %d: signo %d errno %d code %d, %d bytes of the union\n", signo, info->si_signo, info->si_errno, info->si_code,
        same);
}

static long queue(pid_t pid, int signo, int code)
{
    memcpy(bytes + 8, &code, 4);
    return syscall(SYS_rt_sigqueueinfo, pid, signo, bytes);
}

int main(void)
{
    for (int i = 0; i < 128; i++)
        bytes[i] = i;
    on(SIGUSR1, handler, 0);
    on(SIGUSR2, handler, 0);
    pid_t me = getpid(), child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    try(queue(me, SIGUSR1, SI_QUEUE));
    try(queue(me, SIGUSR1, SI_USER));
    try(queue(me, SIGUSR1, SI_TKILL));
    try(queue(me, SIGUSR1, SI_KERNEL));
    try(queue(me, SIGUSR1, -77));
    try(queue(child, SIGUSR1, SI_USER));
    try(queue(child, SIGUSR1, SI_TKILL));
    try(queue(child, 0, SI_KERNEL));
    try(queue(child, 0, SI_QUEUE));
    try(queue(child, 65, SI_QUEUE));
    try(queue(-1, SIGUSR1, SI_QUEUE));
    try(queue(0x3ffffff, SIGUSR1, SI_QUEUE));
    try(syscall(SYS_rt_sigqueueinfo, me, SIGUSR1, 8));
    int code = SI_QUEUE;
    memcpy(bytes + 8, &code, 4);
    try(syscall(SYS_rt_tgsigqueueinfo, me, me, SIGUSR2, bytes));
    try(syscall(SYS_rt_tgsigqueueinfo, me, child, SIGUSR2, bytes));
    try(syscall(SYS_rt_tgsigqueueinfo, me, 0, SIGUSR2, bytes));
    try(syscall(SYS_rt_tgsigqueueinfo, 0, me, SIGUSR2, bytes));
    try(syscall(SYS_rt_tgsigqueueinfo, me, me, 65, bytes));
    try(syscall(SYS_tgkill, me, child, SIGUSR2));
    try(syscall(SYS_tgkill, me, me, 65));
    try(syscall(SYS_tgkill, -1, me, 0));
    try(syscall(SYS_tkill, -1, 0));
    try(syscall(SYS_tkill, 0x3ffffff, 0));
    try(syscall(SYS_tkill, me, SIGUSR2));
    try(syscall(SYS_restart_syscall));
    kill(child, SIGKILL);
    wait_and_say("child", child);
    return 0;
}
