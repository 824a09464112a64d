/* Does sigtimedwait take a pending signal, wait for one, and time out, without running handlers? */
#include "say.h"

static volatile int ran;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    ran++;
}

int main(void)
{
    sigset_t set;
    siginfo_t info;
    struct timespec brief = {0, 5000000}, never = {0, 0};
    on(SIGUSR1, handler, 0);
    on(SIGUSR2, handler, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    try(sigtimedwait(&set, &info, &never));
    try(sigtimedwait(&set, &info, &brief));
    kill(getpid(), SIGUSR1);
    try(sigtimedwait(&set, &info, &brief));
    say("code %d pid %d, handler ran %d\n", info.si_code, info.si_pid == getpid(), ran);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 3});
    say("%d", sigwaitinfo(&set, &info) == SIGRTMIN);
    say(" value %d\n", info.si_value.sival_int);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        rest(5);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    int signo;
    sigwait(&set, &signo);
    say("waited for %d, handler ran %d\n", signo, ran);
    wait_and_say("child", child);
    child = fork();
    if (child == 0) {
        rest(5);
        kill(parent, SIGUSR2);
        _exit(0);
    }
    struct timespec minute = {60, 0};
    try(syscall(SYS_rt_sigtimedwait, &set, &info, &minute, 8)); /* musl would try again */
    say("handler ran %d\n", ran);
    wait_and_say("child", child);
    return 0;
}
