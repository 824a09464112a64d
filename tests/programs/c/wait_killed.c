/* What does wait report about children that signals killed? */
#include "say.h"
#include <sys/resource.h>

int main(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM, SIGTERM, SIGPROF, SIGSYS, 34, 64};
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        int status;
        siginfo_t info;
        pid_t child = fork();
        if (child == 0) {
            kill(getpid(), signals[i]);
            _exit(1);
        }
        waitid(P_PID, child, &info, WEXITED | WNOWAIT);
        waitpid(child, &status, 0);
        say("%d: status %#x, si_code %d, si_status %d\n", signals[i], status & 0x7f, info.si_code, info.si_status);
    }
    pid_t child = fork();
    if (child == 0)
        abort();
    return wait_and_say("abort", child) == 0;
}
