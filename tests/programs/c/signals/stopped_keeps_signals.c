/* What reaches a stopped process, and what cancels what? */
#include "say.h"

static volatile int count[65];

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    count[signo]++;
}

int main(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        on(SIGUSR1, handler, 0);
        on(SIGCONT, handler, 0);
        on(SIGTSTP, handler, 0);
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGCONT);
        sigaddset(&mask, SIGTSTP);
        sigprocmask(SIG_BLOCK, &mask, 0);
        raise(SIGSTOP);
        say("USR1 %d CONT %d TSTP %d\n", count[SIGUSR1], count[SIGCONT], count[SIGTSTP]);
        sigset_t pending;
        sigpending(&pending);
        say("pending CONT %d TSTP %d\n", sigismember(&pending, SIGCONT), sigismember(&pending, SIGTSTP));
        raise(SIGTSTP); /* a stop signal forgets SIGCONT, handled or not */
        sigpending(&pending);
        say("pending CONT %d TSTP %d\n", sigismember(&pending, SIGCONT), sigismember(&pending, SIGTSTP));
        kill(getpid(), SIGCONT); /* and the reverse */
        sigpending(&pending);
        say("pending CONT %d TSTP %d\n", sigismember(&pending, SIGCONT), sigismember(&pending, SIGTSTP));
        sigprocmask(SIG_UNBLOCK, &mask, 0);
        say("USR1 %d CONT %d TSTP %d\n", count[SIGUSR1], count[SIGCONT], count[SIGTSTP]);
        signal(SIGTSTP, SIG_DFL);
        signal(SIGCONT, SIG_IGN); /* continues all the same */
        raise(SIGTSTP);
        say("goes on\n");
        raise(SIGSTOP);
        say("not reached\n");
        _exit(1);
    }
    waitpid(child, &status, WUNTRACED);
    say_status("child", status);
    kill(child, SIGUSR1);
    kill(child, SIGUSR1);
    try(waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED));
    kill(child, SIGCONT);
    waitpid(child, &status, WUNTRACED);
    say_status("child", status);
    kill(child, SIGCONT);
    waitpid(child, &status, WUNTRACED);
    say_status("child", status);
    kill(child, SIGTERM); /* waits */
    try(waitpid(child, &status, WNOHANG));
    kill(child, SIGKILL); /* does not */
    wait_and_say("child", child);
    return 0;
}
