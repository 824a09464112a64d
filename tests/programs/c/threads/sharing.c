/* What do unshare, kcmp and CLONE_FILES|CLONE_FS make of descriptors, the working directory and the umask? */
#include "say.h"
#include <sched.h>
#include <sys/prctl.h>

static char stack[16384] __attribute__((aligned(16)));
static int fds[2];

static int changes(void *argument)
{
    close(fds[0]);
    chdir("/tmp");
    umask(0123);
    return (long)argument;
}

static int unshares_first(void *argument)
{
    if (unshare(CLONE_FILES | CLONE_FS))
        return 99;
    return changes(argument);
}

static void run(const char *what, int (*body)(void *), int flags)
{
    char where[64];
    pipe(fds);
    chdir("/");
    umask(022);
    pid_t pid = clone(body, stack + sizeof stack, flags | SIGCHLD, (void *)3);
    wait_and_say(what, pid);
    say("%s: descriptor %d, %s, %o\n", what, fcntl(fds[0], F_GETFD), getcwd(where, sizeof where), umask(022));
    close(fds[0]);
    close(fds[1]);
}

static int compare(pid_t one, pid_t two, int kind, unsigned long a, unsigned long b)
{
    int result = syscall(SYS_kcmp, one, two, kind, a, b);
    return result > 0 ? 1 : result; /* the order of different objects is anybody's */
}

int main(void)
{
    run("shared", changes, CLONE_FILES | CLONE_FS);
    run("not shared", changes, 0);
    run("unshared", unshares_first, CLONE_FILES | CLONE_FS);
    try(unshare(CLONE_VM));
    try(unshare(CLONE_THREAD | CLONE_SIGHAND | CLONE_SYSVSEM));
    try(unshare(CLONE_VFORK));
    try(unshare(SIGCHLD));

    pid_t me = getpid(), child;
    pipe(fds);
    int copy = dup(fds[0]), again = open("/dev/null", O_RDONLY);
    int end[2];
    pipe(end);
    if (!(child = fork())) {
        char byte;
        close(end[1]);
        read(end[0], &byte, 1);
        _exit(0);
    }
    try(compare(me, me, 0, fds[0], copy));
    try(compare(me, me, 0, fds[0], fds[1]));
    try(compare(me, child, 0, fds[0], copy));
    try(compare(me, child, 0, fds[0], again));
    try(compare(me, me, 0, fds[0], 1000));
    for (int kind = 1; kind <= 6; kind++)
        say("kind %d: with itself %d, with the child %d\n", kind, compare(me, me, kind, 0, 0),
            kind == 5 ? 0 : compare(me, child, kind, 0, 0));
    try(compare(me, me, 9, 0, 0));
    try(compare(me, 99999999, 1, 0, 0));
    long both = syscall(SYS_kcmp, me, me, 0, fds[0], again) + syscall(SYS_kcmp, me, me, 0, again, fds[0]);
    say("antisymmetric: %ld\n", both);
    close(end[1]);
    wait_and_say("child", child);
    return 0;
}
