/* Which SIGCHLDs come with SA_NOCLDSTOP, SA_NOCLDWAIT and SIG_IGN, and what do they say? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d code %d status %d pid %d uid %d\n", signo == SIGCHLD, info->si_code, info->si_status,
        info->si_pid > 0, (int)info->si_uid == (int)getuid());
}

static pid_t start(int how)
{
    pid_t child = fork();
    if (child == 0) {
        if (how == 0)
            _exit(3);
        for (;;)
            pause();
    }
    return child;
}

static void quietly(int signo)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_BLOCK, &set, 0);
    sigwaitinfo(&set, &info);
    handler(signo, &info, 0);
}

int main(void)
{
    int status;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, 0); /* and SIG_DFL: still to be waited for */
    pid_t child = start(0);
    quietly(SIGCHLD);
    wait_and_say("exited", child);
    child = start(1);
    kill(child, SIGSTOP);
    quietly(SIGCHLD);
    kill(child, SIGCONT);
    quietly(SIGCHLD);
    kill(child, SIGKILL);
    quietly(SIGCHLD);
    wait_and_say("killed", child);
    on(SIGCHLD, handler, SA_NOCLDSTOP);
    child = start(1);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    struct timespec none = {0, 0};
    try(sigtimedwait(&set, 0, &none));
    kill(child, SIGTERM);
    quietly(SIGCHLD);
    wait_and_say("terminated", child);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    on(SIGCHLD, handler, SA_NOCLDWAIT);
    child = start(0);
    try(waitpid(child, &status, 0)); /* waits for the end, finds no child */
    signal(SIGCHLD, SIG_IGN);
    start(0);
    try(wait(&status));
    return 0;
}
