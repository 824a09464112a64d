/* Who gets the orphans below a subreaper, and who hears of a parent's death? */
#include "say.h"
#include <sys/prctl.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    _exit(signo == SIGUSR1 && info->si_code == SI_USER && info->si_pid > 0 ? 7 : 8);
}

int main(void)
{
    int ready[2], status;
    char byte;
    pid_t id;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pipe(ready);
    pid_t reaper = getpid(), middle = fork();
    if (middle == 0) {
        pid_t orphan = fork();
        if (orphan == 0) {
            on(SIGUSR1, handler, 0);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            write(ready[1], "r", 1);
            for (;;)
                pause();
        }
        if (fork() == 0)
            _exit(6); /* a zombie when its parent ends */
        siginfo_t info;
        waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
        read(ready[0], &byte, 1);
        write(ready[1], (char *)&orphan, sizeof orphan);
        _exit(3);
    }
    wait_and_say("middle", middle);
    read(ready[0], &id, sizeof id);
    wait_and_say("orphan", id);
    say("%d ", wait(&status) > 0);
    say_status("zombie", status);
    try(wait(&status));
    middle = fork();
    if (middle == 0) {
        if (fork() == 0) {
            while (getppid() != reaper)
                rest(1);
            _exit(9);
        }
        _exit(0);
    }
    wait_and_say("middle", middle);
    say("%d ", wait(&status) > 0);
    say_status("orphan", status);
    return 0;
}
