/* What do kill and tgkill return for wrong numbers, wrong signals, groups, and oneself? */
#include "say.h"

static volatile int count;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    count++;
}

int main(void)
{
    pid_t me = getpid();
    on(SIGUSR1, handler, 0);
    setpgid(0, 0);
    try(kill(me, 0));
    try(kill(me, 65));
    try(kill(me, -1));
    try(kill(4000000, 0));
    try(kill(-4000000, 0));
    try(syscall(SYS_tgkill, me, me, 0));
    try(syscall(SYS_tgkill, me, me, 99));
    try(syscall(SYS_tgkill, -1, me, 0));
    try(syscall(SYS_tgkill, 4000000, me, 0));
    try(syscall(SYS_tgkill, me, 4000000, 0));
    try(syscall(SYS_tkill, 0, 0));
    pid_t leader = fork();
    if (leader == 0) {
        setpgid(0, 0);
        kill(getpid(), SIGUSR1);
        kill(0, SIGUSR1);
        kill(-getpid(), SIGUSR1);
        _exit(count);
    }
    wait_and_say("caught", leader);
    say("parent caught %d\n", count);
    int gate[2];
    if (pipe(gate))
        return 1;
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char byte;
            signal(SIGUSR1, SIG_DFL);
            close(gate[1]);
            read(gate[0], &byte, 1);
            _exit(0);
        }
        setpgid(children[i], children[0]);
    }
    try(kill(-children[0], SIGTERM));
    for (int i = 0; i < 3; i++)
        wait_and_say("member", children[i]);
    try(kill(-children[0], SIGTERM));
    return 0;
}
