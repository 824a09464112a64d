/* What do prctl(2)'s options accept, keep, and hand to children? */
#include "say.h"
#include <sys/prctl.h>
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#endif

static long option(int what, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return syscall(SYS_prctl, what, a, b, c, d);
}

int main(void)
{
    int value = -1;
    char name[16];
    try(option(PR_SET_NAME, (long)"a name that is too long", 0, 0, 0));
    try(option(PR_GET_NAME, (long)name, 0, 0, 0));
    say("<%s>\n", name);
    try(option(PR_SET_NAME, 8, 0, 0, 0));
    try(option(PR_SET_PDEATHSIG, 65, 0, 0, 0));
    try(option(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
    try(option(PR_GET_PDEATHSIG, (long)&value, 0, 0, 0));
    say("%d\n", value);
    try(option(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    try(option(PR_GET_CHILD_SUBREAPER, (long)&value, 0, 0, 0));
    say("%d\n", value);
    try(option(PR_GET_DUMPABLE, 0, 0, 0, 0));
    try(option(PR_SET_DUMPABLE, 2, 0, 0, 0));
    try(option(PR_SET_DUMPABLE, 0, 0, 0, 0));
    try(option(PR_GET_DUMPABLE, 0, 0, 0, 0));
    try(option(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    try(option(PR_SET_TIMERSLACK, 1234, 0, 0, 0));
    try(option(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    try(option(PR_SET_SECCOMP, 77, 0, 0, 0));
    try(option(PR_GET_SECCOMP, 0, 0, 0, 0));
    try(option(PR_CAPBSET_READ, 0, 0, 0, 0));
    try(option(PR_CAPBSET_READ, 63, 0, 0, 0));
    try(option(PR_CAPBSET_DROP, 64, 0, 0, 0));
    try(option(PR_CAPBSET_DROP, 30, 0, 0, 0));
    try(option(PR_CAPBSET_READ, 30, 0, 0, 0));
    try(option(PR_GET_SECUREBITS, 0, 0, 0, 0));
    try(option(PR_SET_SECUREBITS, 1 << 20, 0, 0, 0));
    try(option(PR_CAP_AMBIENT, 1, 7, 0, 0)); /* is it set? */
    try(option(PR_CAP_AMBIENT, 2, 7, 0, 0)); /* raise: not inheritable */
    try(option(PR_CAP_AMBIENT, 4, 0, 0, 0));
    try(option(PR_CAP_AMBIENT, 9, 0, 0, 0));
    try(option(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    try(option(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    try(option(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    try(option(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    try(option(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    try(option(PR_GET_TIMING, 0, 0, 0, 0));
    try(option(PR_SET_TIMING, 1, 0, 0, 0));
    try(option(9999, 0, 0, 0, 0));
    pid_t child = fork();
    if (child == 0) {
        option(PR_GET_PDEATHSIG, (long)&value, 0, 0, 0);
        say("child: signal %d\n", value);
        option(PR_GET_CHILD_SUBREAPER, (long)&value, 0, 0, 0);
        say("child: subreaper %d\n", value);
        say("child: slack %ld, no_new_privs %ld, dumpable %ld\n", option(PR_GET_TIMERSLACK, 0, 0, 0, 0),
            option(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), option(PR_GET_DUMPABLE, 0, 0, 0, 0));
        _exit(0);
    }
    wait_and_say("child", child);
    return 0;
}
