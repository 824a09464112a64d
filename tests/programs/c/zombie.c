/* Does a dead child keep its number, and take signals in vain, until it is waited for? */
#include "say.h"

int main(void)
{
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    try(kill(child, 0));
    try(kill(child, SIGKILL));
    say("group kept: %d\n", getpgid(child) == getpgrp());
    wait_and_say("child", child);
    try(kill(child, 0));
    for (int i = 0; i < 20; i++)
        if (fork() == 0)
            _exit(i);
    int sum = 0, status, count = 0;
    while (wait(&status) > 0) {
        sum += WEXITSTATUS(status);
        count++;
    }
    say("%d zombies, sum %d, errno %d\n", count, sum, errno);
    return 0;
}
