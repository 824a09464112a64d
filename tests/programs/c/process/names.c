/* Do host and domain names, personality and the umask change as told, and for whom? */
#include "say.h"
#include <sys/personality.h>
#include <sys/utsname.h>

int main(void)
{
    struct utsname before, now;
    char long_name[70];
    memset(long_name, 'x', sizeof long_name);
    uname(&before);
    try(sethostname(long_name, 65));
    try(sethostname("x", -1));
    try(syscall(SYS_sethostname, 8, 3));
    try(syscall(SYS_setdomainname, 8, 3));
    uname(&now);
    say("unchanged %d\n", !strcmp(before.nodename, now.nodename));
    try(syscall(SYS_personality, 0xffffffff));
    try(syscall(SYS_personality, 0x0020000));
    uname(&now);
    say("an old release: %d\n", !strncmp(now.release, "2.6.", 4));
    pid_t child = fork();
    if (child == 0) {
        try(syscall(SYS_personality, 0xffffffff));
        syscall(SYS_setresuid, 100, 100, 100);
        try(sethostname("a", 1));
        try(syscall(SYS_setdomainname, "a", 1));
        say("umask %o\n", umask(077));
        _exit(0);
    }
    umask(022);
    wait_and_say("child", child);
    say("umask %o\n", umask(022));
    return 0;
}
