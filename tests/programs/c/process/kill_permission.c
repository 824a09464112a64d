/* Whom may an ordinary user signal? */
#include "say.h"

static int ready[2];

static pid_t start(int uid, int euid, int session)
{
    char byte;
    pid_t child = fork();
    if (child == 0) {
        if (session)
            setsid();
        syscall(SYS_setresuid, uid, euid, uid);
        write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    read(ready[0], &byte, 1);
    return child;
}

int main(void)
{
    pipe(ready);
    pid_t mine = start(100, 100, 0), other = start(200, 200, 0), half = start(100, 300, 0), away = start(200, 200, 1);
    pid_t user = fork();
    if (user == 0) {
        syscall(SYS_setresuid, 100, 100, 100);
        try(kill(mine, 0));
        try(kill(other, 0));
        try(kill(half, 0)); /* the same real user */
        try(kill(other, SIGTERM));
        try(kill(other, SIGCONT)); /* of the same session */
        try(kill(away, SIGCONT));
        try(kill(getppid(), 0));
        try(kill(getpid(), 0));
        try(syscall(SYS_tkill, other, SIGTERM));
        try(syscall(SYS_tgkill, other, other, 0));
        siginfo_t info = {.si_code = SI_QUEUE};
        try(syscall(SYS_rt_sigqueueinfo, other, SIGTERM, &info));
        try(syscall(SYS_rt_sigqueueinfo, mine, SIGTERM, &info));
        _exit(0);
    }
    wait_and_say("user", user);
    wait_and_say("mine", mine);
    kill(other, SIGKILL), kill(half, SIGKILL), kill(away, SIGKILL);
    wait_and_say("other", other);
    wait_and_say("half", half);
    wait_and_say("away", away);
    return 0;
}
