/* Is a stopped group that becomes orphaned hung up and continued, and do job control signals not stop an orphaned one? */
#include "say.h"

static volatile sig_atomic_t hups, conts;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (signo == SIGHUP)
        hups += info->si_code == SI_KERNEL ? 1 : 100;
    else
        conts++;
}

int main(void)
{
    int ends[2], go[2], status;
    char byte;
    signal(SIGHUP, SIG_DFL);
    pipe(ends);
    pipe(go);
    pid_t leader = fork();
    if (leader == 0) {
        setsid();
        pid_t middle = fork();
        if (middle == 0) {
            pid_t job = fork();
            if (job == 0) {
                setpgid(0, 0);
                on(SIGHUP, handler, 0);
                on(SIGCONT, handler, 0);
                raise(SIGSTOP);
                while (!hups || !conts)
                    rest(1);
                read(go[0], &byte, 1); /* the others have said theirs */
                say("job: hup %d cont %d\n", (int)hups, (int)conts);
                raise(SIGTSTP);
                raise(SIGTTIN);
                raise(SIGTTOU);
                say("job: not stopped\n");
                write(ends[1], "x", 1);
                _exit(0);
            }
            waitpid(job, &status, WUNTRACED);
            say_status("job", status);
            _exit(4); /* its parent in another group of the session goes: orphaned */
        }
        waitpid(middle, &status, 0);
        say_status("middle", status);
        _exit(0);
    }
    wait_and_say("leader", leader);
    write(go[1], "x", 1);
    read(ends[0], &byte, 1);
    say("told %c\n", byte);
    return 0;
}
