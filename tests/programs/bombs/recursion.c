/* Deep recursion, with the usual stack and with one without limit. */
#include "bomb.h"

static int deeper(int n)
{
    volatile char frame[2000];
    frame[0] = n;
    return deeper(n + 1) + frame[0];
}

int main(void)
{
    pid_t pid = fork();
    if (!pid)
        _exit(deeper(0));
    ended("8 MiB", pid);
    if (!(pid = fork())) {
        struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_STACK, &none);
        _exit(deeper(0));
    }
    ended("no limit", pid);
    return 0;
}
