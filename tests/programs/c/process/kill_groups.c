/* Whom do kill(0), kill(-group) and kill of a zombie reach? */
#include "say.h"

static int ready[2];

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    _exit(signo == SIGUSR1 && info->si_code == SI_USER ? 10 : 11);
}

static pid_t start(pid_t group)
{
    char byte;
    pid_t child = fork();
    if (child == 0) {
        on(SIGUSR1, handler, 0);
        if (group >= 0)
            setpgid(0, group);
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
    pid_t inner = fork();
    if (inner == 0) { /* in a group of its own, so that kill(0) stays inside */
        setpgid(0, 0);
        signal(SIGUSR1, SIG_IGN);
        pid_t a = start(-1), b = start(-1), c = start(0), d = start(c);
        try(kill(0, SIGUSR1));
        wait_and_say("a", a);
        wait_and_say("b", b);
        say("c lives %d\n", waitpid(c, 0, WNOHANG));
        try(kill(-c, SIGUSR1));
        siginfo_t info;
        waitid(P_PID, c, &info, WEXITED | WNOWAIT);
        try(kill(c, 0)); /* a zombie is there */
        try(kill(c, SIGKILL));
        try(kill(-c, 0));
        wait_and_say("c", c);
        wait_and_say("d", d);
        try(kill(c, 0));
        try(kill(-c, 0));
        try(kill(c, 65));
        try(kill(getpid(), 65));
        try(kill(getpid(), -1));
        try(kill(-0x7fffffff - 1, 0));
        _exit(0);
    }
    wait_and_say("inner", inner);
    return 0;
}
