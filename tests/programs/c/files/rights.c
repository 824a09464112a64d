/* What may another user do with files and directories of each mode, with the sticky bit and with set-group-id? */
#include "say.h"
#include <grp.h>

static void results(void)
{
    int fd;
    for (int mode = 0; mode < 8; mode++) {
        char name[16];
        sprintf(name, "file%d", mode);
        say("%d:", mode);
        say(" %d", (fd = open(name, O_RDONLY)) < 0 ? -errno : 0);
        say(" %d", (fd = open(name, O_WRONLY)) < 0 ? -errno : 0);
        say(" %d", (fd = open(name, O_RDONLY | O_TRUNC)) < 0 ? -errno : 0);
        say(" %d", truncate(name, 0) ? -errno : 0);
        for (int want = 0; want < 8; want++)
            say(" %d", access(name, want) ? -errno : 0);
        sprintf(name, "dir%d", mode);
        say(" |");
        say(" %d", (fd = open(name, O_RDONLY)) < 0 ? -errno : 0);
        say(" %d", chdir(name) ? -errno : chdir(".."));
        sprintf(name, "dir%d/x", mode);
        say(" %d", access(name, F_OK) ? -errno : 0);
        say(" %d", unlink(name) ? -errno : 0);
        say(" %d", mkdir(name, 0777) ? -errno : 0);
        sprintf(name, "dir%d/y", mode);
        say(" %d", symlink("z", name) ? -errno : unlink(name));
        say("\n");
    }
}

int main(void)
{
    char name[16];
    struct stat status;
    umask(0);
    mkdir("rights", 0777);
    chdir("rights");
    for (int mode = 0; mode < 8; mode++) {
        sprintf(name, "file%d", mode);
        close(open(name, O_CREAT | O_WRONLY, mode));
        chmod(name, mode);
        sprintf(name, "dir%d", mode);
        mkdir(name, 0700);
        sprintf(name, "dir%d/x", mode);
        close(open(name, O_CREAT | O_WRONLY, 0666));
        sprintf(name, "dir%d", mode);
        chmod(name, mode);
    }
    mkdir("sticky", 0777);
    chmod("sticky", 01777);
    close(open("sticky/roots", O_CREAT | O_WRONLY, 0666));
    close(open("sticky/theirs", O_CREAT | O_WRONLY, 0666));
    chown("sticky/theirs", 1234, 1234);
    mkdir("group", 0777);
    chown("group", 0, 4321);
    chmod("group", 02777);
    close(open("set-id", O_CREAT | O_WRONLY, 0777));
    chown("set-id", 1234, 4321);
    chmod("set-id", 06777);
    pid_t child = fork();
    if (child == 0) {
        setgroups(0, 0);
        setresgid(1234, 1234, 1234);
        setresuid(1234, 1234, 1234);
        results();
        try(unlink("sticky/roots"));
        try(rename("sticky/roots", "sticky/mine"));
        try(unlink("sticky/theirs"));
        try(mkdir("group/sub", 0755));
        stat("group/sub", &status);
        say("gid %d mode %o\n", status.st_gid, status.st_mode);
        close(open("group/file", O_CREAT | O_WRONLY, 02755));
        stat("group/file", &status);
        say("gid %d mode %o\n", status.st_gid, status.st_mode);
        try(chmod("group/file", 02755)); /* not of that group: the bit is dropped */
        stat("group/file", &status);
        say("mode %o\n", status.st_mode);
        try(chmod("file7", 0777));
        try(chown("group/file", 0, -1));
        try(chown("group/file", -1, 4321));
        try(chown("group/file", -1, 1234));
        try(chown("group/file", 1234, 1234));
        int fd = open("set-id", O_WRONLY);
        write(fd, "x", 1);
        stat("set-id", &status);
        say("after a write: mode %o\n", status.st_mode);
        try(chmod("set-id", 04777));
        try(chown("set-id", 1234, 1234));
        stat("set-id", &status);
        say("after chown: mode %o gid %d\n", status.st_mode, status.st_gid);
        try(mknod("device", S_IFCHR | 0600, 0x103));
        try(mknod("pipe", S_IFIFO | 0600, 0));
        try(utimensat(AT_FDCWD, "file2", 0, 0));
        struct timespec times[2] = {{1, 0}, {2, 0}};
        try(utimensat(AT_FDCWD, "file2", times, 0));
        try(utimensat(AT_FDCWD, "file4", 0, 0));
        try(utimensat(AT_FDCWD, "set-id", times, 0));
        try(open("file4", O_RDONLY | O_NOATIME));
        try(chroot("/tmp"));
        _exit(0);
    }
    wait_and_say("child", child);
    return 0;
}
