/* Are stops and continues of a child reported once each, and only when asked for? */
#include "say.h"

int main(void)
{
    int status;
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    setpgid(child, child); /* in a group that is not orphaned, wherever this runs: SIGTSTP stops it */
    kill(child, SIGSTOP);
    say("%d ", waitpid(child, &status, WUNTRACED) == child);
    say_status("child", status);
    try(waitpid(child, &status, WUNTRACED | WNOHANG));
    kill(child, SIGCONT);
    say("%d ", waitpid(child, &status, WCONTINUED) == child);
    say_status("child", status);
    try(waitpid(child, &status, WCONTINUED | WNOHANG));
    kill(child, SIGTSTP);
    waitid(P_PID, child, &info, WSTOPPED);
    say("code %d status %d\n", info.si_code == CLD_STOPPED, info.si_status);
    kill(child, SIGTERM);
    try(waitpid(child, &status, WNOHANG));
    kill(child, SIGCONT);
    wait_and_say("child", child);
    child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(5);
    }
    waitpid(child, &status, WUNTRACED);
    say_status("second", status);
    kill(child, SIGKILL);
    wait_and_say("second", child);
    return 0;
}
