/* How do chdir, getcwd, mkdir, rmdir, relative paths and a directory's listing work together? */
#include "say.h"
#include <dirent.h>

int main(void)
{
    char path[256];
    rmdir("/tmp/cr3lab-dir/sub");
    rmdir("/tmp/cr3lab-dir");
    try(mkdir("/tmp/cr3lab-dir", 0755));
    try(mkdir("/tmp/cr3lab-dir", 0755));
    try(chdir("/tmp/cr3lab-dir"));
    say("%s\n", getcwd(path, sizeof path));
    try(mkdir("sub", 0700));
    try(chdir("sub"));
    say("%s\n", getcwd(path, sizeof path));
    say("too small: %d errno %d\n", getcwd(path, 5) == 0, errno);
    try(chdir(".."));
    int fd = open("file", O_WRONLY | O_CREAT | O_EXCL, 0640);
    write(fd, "x", 1);
    close(fd);
    try(chdir("file"));
    try(chdir("none"));
    int count = 0, seen = 0;
    DIR *dir = opendir(".");
    for (struct dirent *entry; (entry = readdir(dir));) {
        count++;
        seen += !strcmp(entry->d_name, "file") + 10 * !strcmp(entry->d_name, "sub") + 100 * !strcmp(entry->d_name, "..");
    }
    closedir(dir);
    say("%d entries, %d\n", count, seen);
    try(rmdir("file"));
    try(rmdir("/tmp/cr3lab-dir"));
    try(unlink("file"));
    try(unlink("file"));
    pid_t child = fork();
    if (child == 0) {
        chdir("/");
        _exit(0);
    }
    wait_and_say("child goes to /", child);
    say("%s\n", getcwd(path, sizeof path));
    try(rmdir("sub"));
    try(chdir("/"));
    try(rmdir("/tmp/cr3lab-dir"));
    return 0;
}
