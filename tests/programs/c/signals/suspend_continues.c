/* Do waits go on, with what they had, after a signal that runs no handler or a stop? */
#include "say.h"
#include <poll.h>
#include <sys/time.h>

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
}

static void child_waits(int call, int in, int out)
{
    char byte = '-';
    sigset_t none;
    struct pollfd waits = {in, POLLIN, 0};
    struct timespec minute = {0, 30000000};
    long result = -9;
    sigemptyset(&none);
    on(SIGUSR1, handler, 0);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, 0);
    write(out, "r", 1);
    errno = 0;
    switch (call) {
    case 0: result = read(in, &byte, 1); break;
    case 1: result = poll(&waits, 1, -1); break;
    case 2: result = nanosleep(&minute, 0); break;
    case 3: result = sigsuspend(&none); break;
    case 4: sigprocmask(SIG_UNBLOCK, &block, 0); result = pause(); break;
    }
    sigset_t mask;
    sigprocmask(SIG_BLOCK, 0, &mask);
    say("call %d: result %ld errno %d byte %c, USR1 blocked %d\n", call, result, errno, byte, sigismember(&mask, SIGUSR1));
    _exit(0);
}

int main(void)
{
    for (int call = 0; call <= 4; call++) {
        int in[2], ready[2], status;
        char byte;
        pipe(in);
        pipe(ready);
        pid_t child = fork();
        if (child == 0)
            child_waits(call, in[0], ready[1]);
        read(ready[0], &byte, 1);
        rest(10);
        kill(child, SIGURG); /* ignored by default */
        kill(child, SIGSTOP);
        waitpid(child, &status, WUNTRACED);
        say_status("child", status);
        kill(child, SIGCONT);
        waitpid(child, &status, WCONTINUED);
        say_status("child", status);
        rest(10);
        write(in[1], "w", 1);
        if (call >= 3)
            kill(child, SIGUSR1);
        wait_and_say("child", child);
        close(in[0]), close(in[1]), close(ready[0]), close(ready[1]);
    }
    return 0;
}
