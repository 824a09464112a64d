/* Which times does each call set, and which values are refused? */
#include "say.h"
#include <sys/time.h>
#include <utime.h>

static void show(const char *what)
{
    struct stat s;
    lstat("stamp", &s);
    say("%s: %ld.%09ld %ld.%09ld\n", what, (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec,
        s.st_mtim.tv_nsec);
}

static struct stat before;

static void moved(const char *what)
{
    struct stat now;
    stat("stamp", &now);
#define NEWER(field) (now.field.tv_sec > before.field.tv_sec || \
    (now.field.tv_sec == before.field.tv_sec && now.field.tv_nsec > before.field.tv_nsec))
    say("%s: atime %d mtime %d ctime %d\n", what, NEWER(st_atim), NEWER(st_mtim), NEWER(st_ctim));
    rest(12);
    stat("stamp", &before);
}

int main(void)
{
    char byte;
    int fd = open("stamp", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct timespec spec[2] = {{1, 2}, {3, 4}};
    try(futimens(fd, spec));
    show("futimens");
    spec[0] = (struct timespec){0, UTIME_OMIT};
    spec[1] = (struct timespec){77, 999999999};
    try(utimensat(AT_FDCWD, "stamp", spec, 0));
    show("omit");
    spec[0] = (struct timespec){-5, 6};
    try(utimensat(AT_FDCWD, "stamp", spec, 0));
    show("before the epoch");
    spec[0] = (struct timespec){9, 1000000000};
    try(utimensat(AT_FDCWD, "stamp", spec, 0));
    spec[0] = (struct timespec){9, -1};
    try(utimensat(AT_FDCWD, "stamp", spec, 0));
    spec[0] = (struct timespec){0, UTIME_OMIT}, spec[1] = spec[0];
    try(utimensat(AT_FDCWD, "none", spec, 0));
    try(utimensat(AT_FDCWD, "stamp", spec, 0));
    show("both omitted");
    struct timeval val[2] = {{11, 12}, {13, 999999}};
    try(utimes("stamp", val));
    show("utimes");
    val[0].tv_usec = 1000000;
    try(utimes("stamp", val));
    try(syscall(SYS_futimesat, AT_FDCWD, "stamp", val));
    struct utimbuf old = {21, 22};
    try(utime("stamp", &old));
    show("utime");
    try(utimensat(AT_FDCWD, "stamp", spec, 1));
    try(utimensat(AT_FDCWD, 0, spec, 0));
    try(syscall(SYS_utimensat, fd, 0, spec, AT_SYMLINK_NOFOLLOW));
    try(syscall(SYS_utimensat, 99, 0, spec, 0));
    try(utimensat(AT_FDCWD, "stamp", (void *)8, 0));
    symlink("stamp", "stamp-link");
    spec[0] = spec[1] = (struct timespec){5, 5};
    try(utimensat(AT_FDCWD, "stamp-link", spec, AT_SYMLINK_NOFOLLOW));
    show("the link's");
    rest(12);
    stat("stamp", &before);
    moved("nothing");
    write(fd, "x", 1);
    moved("write");
    pread(fd, &byte, 1, 0);
    moved("read");
    pread(fd, &byte, 1, 0);
    moved("read again");
    chmod("stamp", 0600);
    moved("chmod");
    pread(fd, &byte, 1, 0);
    moved("read after a change");
    ftruncate(fd, 1);
    moved("ftruncate to the same size");
    truncate("stamp", 1);
    moved("truncate to the same size");
    link("stamp", "stamp2");
    moved("link");
    unlink("stamp2");
    moved("unlink");
    rename("stamp", "stamp3");
    rename("stamp3", "stamp");
    moved("rename");
    chown("stamp", -1, -1);
    moved("chown of nothing");
    close(open("stamp", O_WRONLY | O_TRUNC));
    moved("O_TRUNC");
    close(open("stamp", O_WRONLY | O_TRUNC));
    moved("O_TRUNC of an empty file");
    write(fd, "x", 0);
    moved("write of nothing");
    unlink("stamp");
    unlink("stamp-link");
    return 0;
}
