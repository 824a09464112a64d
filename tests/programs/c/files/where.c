/* Where is a process after chdir, fchdir, chroot and the removal or renaming of the directory it is in? */
#include "say.h"

static void where(const char *what)
{
    char path[256];
    long n = syscall(SYS_getcwd, path, sizeof path);
    if (n < 0)
        say("%s: errno %d\n", what, errno);
    else {
        char *last = strrchr(path, '/');
        say("%s: %s (%d)\n", what, n > 1 ? last : path, path[0] == '/');
    }
}

int main(void)
{
    char path[256];
    mkdir("top", 0755);
    mkdir("top/in", 0755);
    mkdir("top/in/deep", 0755);
    int start = open(".", O_RDONLY | O_DIRECTORY), top = open("top", O_RDONLY), place = open("top/in", O_PATH);
    int file = open("top/file", O_CREAT | O_RDWR, 0600);
    try(chdir("top/in/deep"));
    where("deep");
    try(rename("../../in", "../../renamed"));
    where("still deep");
    readlink("/proc/self/cwd", path, sizeof path);
    try(chdir(".."));
    where("up");
    try(rmdir("deep"));
    mkdir("gone", 0755);
    chdir("gone");
    try(rmdir("../gone"));
    where("gone");
    try(open(".", O_RDONLY) >= 0);
    try(open("x", O_CREAT | O_WRONLY, 0600));
    try(mkdir("x", 0700));
    try(access("..", F_OK));
    struct stat status;
    stat(".", &status);
    say("links %d\n", (int)status.st_nlink);
    try(chdir(".."));
    where("back");
    try(fchdir(top));
    where("top");
    try(fchdir(place));
    where("in");
    try(fchdir(file));
    try(fchdir(-1));
    try(chdir("none"));
    try(chdir(""));
    try(chdir((char *)8));
    try(syscall(SYS_getcwd, path, 2));
    try(syscall(SYS_getcwd, 8, 200));
    fchdir(top);
    pid_t child = fork();
    if (child == 0) {
        try(chroot("renamed"));
        where("outside of the root");
        try(chdir("/"));
        where("root");
        try(chdir("../../.."));
        where("root");
        try(access("/dev/null", F_OK));
        try(access("/file", F_OK));
        try(symlink("/../../x", "link"));
        try(open("link", O_CREAT | O_WRONLY, 0600) >= 0);
        try(access("/x", F_OK));
        unlink("x");
        unlink("link");
        try(fchdir(start));
        try(access("top", F_OK));
        _exit(0);
    }
    wait_and_say("child", child);
    where("parent");
    unlink("file");
    rmdir("renamed");
    fchdir(start);
    try(rmdir("top"));
    try(umask(077) == 022);
    try(umask(07777));
    try(umask(0));
    return 0;
}
