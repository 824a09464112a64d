/* What does inotify report, and in which order, for every way to change a directory, a file in it, and a link? */
#include "say.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static int in;

static void report(const char *what)
{
    char buffer[4096];
    uint32_t first = 0;
    say("%s:", what);
    for (;;) {
        int have = 0;
        ioctl(in, FIONREAD, &have);
        int n = read(in, buffer, sizeof buffer);
        if (n <= 0)
            break;
        if (n != have)
            say(" (FIONREAD %d of %d)", have, n);
        for (int at = 0; at < n;) {
            struct inotify_event *event = (void *)(buffer + at);
            say(" %d:%x", event->wd, event->mask);
            if (event->len)
                say("(%s)", event->name);
            if (event->cookie) {
                if (!first)
                    first = event->cookie;
                say("#%d", event->cookie == first);
            }
            at += sizeof *event + event->len;
        }
    }
    say("\n");
}

#define step(call)                                                                                                     \
    do {                                                                                                               \
        long result_ = (long)(call);                                                                                   \
        if (result_ < 0)                                                                                               \
            say("errno %d ", errno);                                                                                   \
        report(#call);                                                                                                 \
    } while (0)

int main(void)
{
    char byte;
    mkdir("in-dir", 0755);
    chdir("in-dir");
    mkdir("d", 0755);
    in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    try(inotify_add_watch(in, "d", IN_ALL_EVENTS));
    int fd;
    step(fd = open("d/file", O_RDWR | O_CREAT, 0644));
    step(write(fd, "x", 1));
    step(write(fd, "x", 1));
    step(pread(fd, &byte, 1, 0));
    step(pread(fd, &byte, 1, 9));
    step(ftruncate(fd, 10));
    step(fchmod(fd, 0600));
    step(fsetxattr(fd, "user.a", "b", 1, 0));
    step(futimens(fd, 0));
    struct timespec access_only[2] = {{1, 0}, {0, UTIME_OMIT}};
    step(futimens(fd, access_only));
    step(close(fd));
    step(close(open("d/file", O_RDONLY)));
    step(close(open("d/file", O_RDONLY | O_TRUNC)));
    step(truncate("d/file", 3));
    try(inotify_add_watch(in, "d/file", IN_ALL_EVENTS));
    try(inotify_add_watch(in, "d/file", IN_ALL_EVENTS | IN_MASK_CREATE));
    step(chmod("d/file", 0644));
    step(link("d/file", "d/second"));
    step(rename("d/second", "d/third"));
    step(rename("d/third", "out"));
    step(rename("out", "d/third"));
    step(unlink("d/third"));
    step(mkdir("d/sub", 0700));
    step(chmod("d/sub", 0755));
    step(rmdir("d/sub"));
    step(symlink("file", "d/link"));
    step(unlink("d/link"));
    step(mkfifo("d/fifo", 0600));
    fd = open("d/file", O_RDONLY);
    step(rename("d/fifo", "d/file"));
    step(close(fd));
    step(unlink("d/file"));
    try(inotify_rm_watch(in, 2));
    step(0);
    /* changed masks, one event only, several watches */
    close(open("d/a", O_CREAT | O_WRONLY, 0600));
    report("made a");
    try(inotify_add_watch(in, "d", IN_CREATE));
    try(inotify_add_watch(in, "d", IN_DELETE | IN_MASK_ADD));
    try(inotify_add_watch(in, "d/a", IN_OPEN | IN_ONESHOT));
    step(close(open("d/a", O_RDONLY)));
    step(close(open("d/a", O_RDONLY)));
    step(unlink("d/a"));
    step(rename("d", "e"));
    try(inotify_add_watch(in, "e", IN_ALL_EVENTS));
    step(rename("e", "d"));
    step(syscall(SYS_rmdir, "d"));
    report("after all");
    /* bad arguments */
    try(inotify_add_watch(in, "none", IN_OPEN));
    try(inotify_add_watch(in, ".", 0));
    try(inotify_add_watch(in, ".", IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN));
    try(inotify_add_watch(1, ".", IN_OPEN));
    try(inotify_add_watch(-1, ".", IN_OPEN));
    try(inotify_add_watch(in, "/dev/null", IN_OPEN | IN_ONLYDIR));
    try(inotify_rm_watch(in, 77));
    try(inotify_rm_watch(1, 1));
    try(inotify_init1(1));
    try(inotify_add_watch(in, ".", IN_CREATE) > 0);
    mkdir("name", 0700);
    try(read(in, &byte, 1));
    char small[31], exact[32];
    try(read(in, small, sizeof small));
    try(read(in, exact, sizeof exact));
    try(read(in, exact, sizeof exact));
    try(write(in, "x", 1));
    rmdir("name");
    chdir("..");
    rmdir("in-dir");
    return 0;
}
