/* Children that crash, one after the other, and all their reports. */
#include "bomb.h"

int main(void)
{
    int status = 0, crashed = 0;
    for (int i = 0; i < 300; i++) {
        pid_t pid = vfork();
        if (!pid) {
            *(volatile char *)(8l * i) = 1;
            _exit(1);
        }
        waitpid(pid, &status, 0);
        crashed += WIFSIGNALED(status);
    }
    say("crashed: %d\n", crashed);
    return 0;
}
