/* Where may a path lead under each RESOLVE_ flag of openat2, and which flags and sizes are refused? */
#include "say.h"

struct open_how {
    uint64_t flags, mode, resolve;
};

enum { RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
    RESOLVE_IN_ROOT = 16, RESOLVE_CACHED = 32 };

static long how(int base, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {flags, mode, resolve};
    long fd = syscall(SYS_openat2, base, path, &how, sizeof how);
    if (fd < 0)
        return -1;
    char byte = '-';
    int n = read(fd, &byte, 1);
    close(fd);
    return n == 1 ? byte : 0;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, text, 1);
    close(fd);
}

int main(void)
{
    mkdir("/tmp/cr3lab-how", 0755);
    chdir("/tmp/cr3lab-how");
    mkdir("in", 0755);
    mkdir("in/deep", 0755);
    put("out", "o");
    put("in/file", "f");
    put("in/deep/file", "d");
    symlink("file", "in/near");
    symlink("../out", "in/up");
    symlink("/tmp/cr3lab-how/out", "in/absolute");
    symlink("/file", "in/rooted");
    symlink("deep/../file", "in/around");
    symlink("/proc/self/fd/77", "in/magic");
    int base = open("in", O_RDONLY | O_DIRECTORY);
    dup2(open("out", O_RDONLY), 77);
    static const char *paths[] = {"file", "./deep/../file", "../out", "deep/../../out", "/file",
        "/tmp/cr3lab-how/in/file", "near", "up", "absolute", "rooted", "around", "..", "deep/../..", "near/", "none",
        "/proc/self/fd/77", "/dev/null", "/proc/self/root/tmp/cr3lab-how/out"};
    static const uint64_t rules[] = {0, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
        RESOLVE_NO_XDEV};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        say("%s:", paths[i]);
        for (size_t j = 0; j < sizeof rules / sizeof *rules; j++) {
            long result = how(base, paths[i], O_RDONLY, 0, rules[j]);
            if (result == -1)
                say(" -%d", errno);
            else
                say(" %c", result ? (int)result : '.');
        }
        say("\n");
    }
    lseek(77, 0, SEEK_SET);
    try(how(base, "magic", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
    try(how(base, "magic", O_RDONLY, 0, RESOLVE_BENEATH));
    try(how(base, "near", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
    try(how(base, "new", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_IN_ROOT));
    try(how(base, "/new2", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_IN_ROOT));
    try(how(base, "../new3", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
    try(access("in/new2", F_OK));
    try(how(base, "file", O_RDONLY, 0600, 0));
    try(how(base, "file", O_RDONLY | O_CREAT, 010000, 0));
    try(how(base, "file", O_RDONLY | O_CREAT, -1, 0));
    try(how(base, "file", 1ull << 40, 0, 0));
    try(how(base, "file", 1u << 30, 0, 0));
    try(how(base, "file", O_RDONLY, 0, 1 << 10));
    try(how(base, "file", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
    try(how(base, "file", O_PATH | O_RDWR, 0, 0));
    try(how(base, "file", O_PATH | O_CREAT, 0, 0));
    try(how(base, "file", O_CREAT | O_DIRECTORY, 0600, 0));
    try(how(base, ".", O_TMPFILE | O_RDONLY, 0600, 0));
    try(how(base, ".", O_TMPFILE | O_RDWR | O_CREAT, 0600, 0));
    try(how(base, ".", O_TMPFILE | O_RDWR, 0600, RESOLVE_BENEATH));
    try(how(base, "file", O_TMPFILE | O_RDWR, 0600, 0));
    try(how(base, "file", O_RDONLY | O_TRUNC, 0, RESOLVE_CACHED));
    try(how(1, "file", O_RDONLY, 0, 0));
    char large[64] = {0};
    try(syscall(SYS_openat2, base, "file", large, 23));
    try(syscall(SYS_openat2, base, "file", large, 0));
    try(syscall(SYS_openat2, base, "file", large, 5000));
    try(syscall(SYS_openat2, base, "file", large, 64) >= 0);
    large[40] = 1;
    try(syscall(SYS_openat2, base, "file", large, 64));
    try(syscall(SYS_openat2, base, "file", 8, 24));
    static const char *left[] = {"in/new", "in/new2", "in/magic", "in/around", "in/rooted", "in/absolute", "in/up",
        "in/near", "in/deep/file", "in/file", "out"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unlink(left[i]);
    rmdir("in/deep");
    rmdir("in");
    chdir("/");
    try(rmdir("/tmp/cr3lab-how"));
    return 0;
}
