/* What does SIGCHLD say about a child, and what do SIG_IGN and SA_NOCLDWAIT change? */
#include "say.h"

static volatile int seen, code, status_seen;
static volatile pid_t who;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    seen += signo == SIGCHLD;
    code = info->si_code;
    who = info->si_pid;
    status_seen = info->si_status;
}

static void child_ends(void (*how)(void))
{
    seen = 0;
    pid_t child = fork();
    if (child == 0)
        how();
    int status, waited;
    while ((waited = waitpid(child, &status, 0)) == -1 && errno == EINTR)
        ;
    say("seen %d, code %d, status %d, pid right %d, waited %d\n", seen, code, status_seen, who == child, waited == child);
}

static void exits(void) { _exit(9); }
static void is_killed(void) { kill(getpid(), SIGKILL); }

int main(void)
{
    on(SIGCHLD, handler, 0);
    child_ends(exits);
    child_ends(is_killed);
    on(SIGCHLD, handler, SA_NOCLDWAIT);
    seen = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(1);
    int result;
    while ((result = waitpid(child, 0, 0)) == -1 && errno == EINTR)
        ;
    say("SA_NOCLDWAIT: %d errno %d, signal seen %d\n", result, errno, seen);
    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(1);
    result = waitpid(child, 0, 0);
    say("SIG_IGN: %d errno %d\n", result, errno);
    return 0;
}
