/* What does rename allow between files, links, empty and full directories, with each flag, and across file systems? */
#include "say.h"

static const char *kinds[] = {"file", "link", "empty", "full", "none", "slash/"};

static void make(const char *at, int kind)
{
    char inner[64];
    switch (kind) {
    case 0: close(open(at, O_CREAT | O_WRONLY, 0600)); break;
    case 1: symlink("nowhere", at); break;
    case 2:
    case 5: mkdir(at, 0700); break;
    case 3:
        mkdir(at, 0700);
        sprintf(inner, "%s/inner", at);
        mkdir(inner, 0700);
    }
}

static void clear(const char *at)
{
    char inner[64];
    sprintf(inner, "%s/inner", at);
    rmdir(inner);
    rmdir(at);
    unlink(at);
}

int main(void)
{
    mkdir("moves", 0755);
    chdir("moves");
    for (unsigned flags = 0; flags < 9; flags++) {
        if (flags == 4)
            continue; /* RENAME_WHITEOUT makes a device */
        for (int i = 0; i < 6; i++) {
            say("%u %s:", flags, kinds[i]);
            for (int j = 0; j < 6; j++) {
                make("a", i);
                make("b", j);
                struct stat before, after;
                int had = lstat("a", &before);
                long result = syscall(SYS_renameat2, AT_FDCWD, i == 5 ? "a/" : "a", AT_FDCWD, j == 5 ? "b/" : "b", flags);
                if (result)
                    say(" %d", -errno);
                else
                    say(" %d", had || lstat("b", &after) ? 9 : before.st_ino == after.st_ino);
                clear("a");
                clear("b");
            }
            say("\n");
        }
    }
    mkdir("d", 0700);
    mkdir("d/e", 0700);
    make("f", 0);
    link("f", "g");
    try(rename("d", "d/e/x"));
    try(rename("d/e", "d"));
    try(rename("d", "d"));
    try(rename("d/.", "x"));
    try(rename("d/..", "x"));
    try(rename("d", "."));
    try(rename("f", "d/.."));
    try(rename("f", "g")); /* the same file: nothing happens */
    try(access("f", F_OK));
    try(rename("f", "f/x"));
    try(rename("none/x", "y"));
    try(rename("f", "none/y"));
    try(rename("f", ""));
    try(rename("", "f"));
    try(rename("f", (char *)8));
    try(rename("f", "/dev/shm/cr3lab-f"));
    try(link("f", "/dev/shm/cr3lab-f"));
    try(rename("/dev/null", "null"));
    try(rename("/proc/version", "/proc/x"));
    try(rename("f", "/proc/x"));
    try(rename("/dev/shm", "/dev/other"));
    try(rmdir("/proc"));
    try(unlink("/proc/version"));
    try(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "h", 16));
    try(syscall(SYS_renameat, 99, "f", AT_FDCWD, "h"));
    struct stat status;
    stat("d", &status);
    say("links %d\n", (int)status.st_nlink);
    try(rename("d/e", "e"));
    stat("d", &status);
    say("links %d\n", (int)status.st_nlink);
    rmdir("e");
    rmdir("d");
    unlink("f");
    unlink("g");
    chdir("..");
    try(rmdir("moves"));
    return 0;
}
