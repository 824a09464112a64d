/* What of the signal state survives execve: handlers, ignored signals, the mask, pending signals, the alternate stack? */
#include "say.h"

static void handler(int signo, siginfo_t *info, void *context) { (void)signo, (void)info, (void)context; }

static char stack[65536];

int main(int argc, char **argv)
{
    struct sigaction action;
    sigset_t set;
    stack_t alternate;
    if (argc > 1) {
        sigaction(SIGUSR1, 0, &action);
        say("handler reset: %d\n", action.sa_handler == SIG_DFL);
        sigaction(SIGUSR2, 0, &action);
        say("ignored stays: %d\n", action.sa_handler == SIG_IGN);
        sigprocmask(SIG_BLOCK, 0, &set);
        say("mask stays: %d\n", sigismember(&set, SIGTERM));
        sigpending(&set);
        say("pending stays: %d\n", sigismember(&set, SIGTERM));
        sigaltstack(0, &alternate);
        say("alternate stack gone: %d\n", alternate.ss_flags == SS_DISABLE);
        say("same process: %d\n", atoi(argv[1]) == getpid());
        sigemptyset(&set);
        sigprocmask(SIG_SETMASK, &set, 0);
        return 1;
    }
    on(SIGUSR1, handler, 0);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, 0);
    alternate = (stack_t){.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, 0);
    pid_t child = fork();
    if (child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)getpid());
        raise(SIGTERM);
        char *args[] = {argv[0], number, 0}, *env[] = {0};
        execve(argv[0], args, env);
        _exit(99);
    }
    wait_and_say("child", child);
    return 0;
}
