/* Does a set-user-ID program run as its owner, with AT_SECURE, and not so with no_new_privs? */
#include "say.h"
#include <sys/auxv.h>
#include <sys/prctl.h>

#define COPY "/tmp/cr3lab-setuid"

static void show(void)
{
    uid_t r, e, s;
    gid_t gr, ge, gs;
    getresuid(&r, &e, &s);
    getresgid(&gr, &ge, &gs);
    say("uid %d %d %d gid %d %d %d, auxv %ld %ld %ld %ld secure %ld\n", r, e, s, gr, ge, gs, getauxval(AT_UID),
        getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID), getauxval(AT_SECURE));
}

static void copy(void)
{
    static char buffer[1 << 16];
    ssize_t n;
    int in = open("/proc/self/exe", O_RDONLY), out = open(COPY, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        write(out, buffer, n);
    close(in);
    close(out);
}

static void run(const char *what, int owner, int mode, int uid, int bound)
{
    chown(COPY, owner, owner);
    chmod(COPY, mode);
    say("%s: ", what);
    pid_t child = fork();
    if (child == 0) {
        syscall(SYS_setresgid, uid, uid, uid);
        syscall(SYS_setresuid, uid, uid, uid);
        if (bound)
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        execl(COPY, COPY, "show", (char *)0);
        say("errno %d\n", errno);
        _exit(1);
    }
    waitpid(child, 0, 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        show();
        return 0;
    }
    show();
    copy();
    run("plain", 0, 0755, 100, 0);
    run("set-user-ID root", 0, 04755, 100, 0);
    run("set-user-ID other", 300, 04755, 100, 0);
    run("set-group-ID", 300, 02755, 100, 0);
    run("set-group-ID, not executable by the group", 300, 02705, 100, 0);
    run("both", 300, 06755, 100, 0);
    run("no_new_privs", 0, 06755, 100, 1);
    run("root runs somebody's", 300, 04755, 0, 0);
    run("not executable", 300, 04700, 100, 0);
    unlink(COPY);
    return 0;
}
