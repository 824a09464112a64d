/* Do getdents64 and getdents list a directory in pieces of any size, with types, and what if it changes meanwhile? */
#include "say.h"
#include <dirent.h>

struct old {
    unsigned long ino, off;
    unsigned short length;
    char name[];
};

struct new {
    uint64_t ino;
    int64_t off;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list(int number, int fd, unsigned size)
{
    static char lines[400][32];
    char buffer[4096];
    int count = 0, n;
    lseek(fd, 0, SEEK_SET);
    while ((n = syscall(number, fd, buffer, size)) > 0)
        for (int at = 0; at < n;) {
            struct new *new = (void *)(buffer + at);
            struct old *old = (void *)(buffer + at);
            struct stat info;
            const char *name = number == SYS_getdents64 ? new->name : old->name;
            int type = number == SYS_getdents64 ? new->type : buffer[at + old->length - 1];
            fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW);
            snprintf(lines[count++], 32, "%s %d %d", name, type, strcmp(name, "..") ? info.st_ino == new->ino : 1);
            at += new->length;
        }
    qsort(lines, count, sizeof *lines, compare);
    say("%d entries, then %d:", count, n);
    for (int i = 0; i < count && i < 8; i++)
        say(" [%s]", lines[i]);
    say("\n");
}

int main(void)
{
    char name[64], buffer[64];
    mkdir("/tmp/cr3lab-list", 0755);
    chdir("/tmp/cr3lab-list");
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    list(SYS_getdents64, fd, 4096);
    mkdir("a-dir", 0755);
    symlink("nowhere", "b-link");
    mkfifo("c-fifo", 0600);
    close(open("d-file", O_CREAT | O_WRONLY, 0600));
    list(SYS_getdents64, fd, 4096);
    list(SYS_getdents, fd, 4096);
    list(SYS_getdents64, fd, 32);
    try(syscall(SYS_getdents64, fd, buffer, 8));
    try(syscall(SYS_getdents, fd, buffer, 8));
    for (int i = 0; i < 300; i++) {
        sprintf(name, "file%03d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    list(SYS_getdents64, fd, 1000);
    list(SYS_getdents, fd, 100);
    int removed = 0;
    DIR *dir = opendir(".");
    for (struct dirent *entry; (entry = readdir(dir));)
        removed += !unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    say("removed %d while reading\n", removed);
    list(SYS_getdents64, fd, 4096);
    rmdir("a-dir");
    try(syscall(SYS_getdents64, 1, buffer, 64));
    try(syscall(SYS_getdents64, -1, buffer, 64));
    lseek(fd, 0, SEEK_SET);
    try(syscall(SYS_getdents64, fd, 8, 64));
    int place = open(".", O_PATH);
    try(syscall(SYS_getdents64, place, buffer, 64));
    rmdir("/tmp/cr3lab-list");
    lseek(fd, 0, SEEK_SET);
    try(syscall(SYS_getdents64, fd, buffer, 64));
    chdir("/");
    return 0;
}
