/* How are user. attributes set, read, listed and removed, and which names, sizes and kinds of file are refused? */
#include "say.h"
#include <sys/xattr.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list(const char *path)
{
    char names[256];
    const char *found[16];
    int n = listxattr(path, names, sizeof names), count = 0;
    say("list %d:", n);
    for (char *name = names; name < names + n; name += strlen(name) + 1)
        found[count++] = name;
    qsort(found, count, sizeof *found, compare);
    for (int i = 0; i < count; i++)
        say(" %s", found[i]);
    say("\n");
}

int main(void)
{
    static char large[70000];
    char value[32] = {0};
    const char *name = "/tmp/cr3lab-xattr";
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    try(getxattr(name, "user.a", value, sizeof value));
    try(setxattr(name, "user.a", "one", 3, XATTR_REPLACE));
    try(setxattr(name, "user.a", "one", 3, XATTR_CREATE));
    try(setxattr(name, "user.a", "two", 3, XATTR_CREATE));
    try(setxattr(name, "user.a", "three", 5, XATTR_REPLACE));
    try(fsetxattr(fd, "user.empty", "", 0, 0));
    try(getxattr(name, "user.a", 0, 0));
    try(getxattr(name, "user.a", value, 4));
    try(fgetxattr(fd, "user.a", value, sizeof value));
    say("%s\n", value);
    try(getxattr(name, "user.empty", value, sizeof value));
    list(name);
    try(listxattr(name, 0, 0));
    try(listxattr(name, value, 5));
    try(removexattr(name, "user.a"));
    try(removexattr(name, "user.a"));
    try(fremovexattr(fd, "user.empty"));
    list(name);
    try(setxattr(name, "user.", "x", 1, 0));
    try(setxattr(name, "", "x", 1, 0));
    try(setxattr(name, "user", "x", 1, 0));
    try(setxattr(name, "strange.a", "x", 1, 0));
    try(getxattr(name, "strange.a", value, 1));
    try(setxattr(name, "user.b", "x", 1, 4));
    try(setxattr(name, "user.b", large, sizeof large, 0));
    try(setxattr(name, "user.b", (void *)8, 3, 0));
    try(setxattr(name, (void *)8, "x", 1, 0));
    memset(large, 'n', 300);
    memcpy(large, "user.", 5);
    try(setxattr(name, large, "x", 1, 0));
    large[255] = 0;
    try(setxattr(name, large, "x", 1, 0));
    try(removexattr(name, large));
    try(setxattr("/tmp/cr3lab-none", "user.a", "x", 1, 0));
    symlink(name, "/tmp/cr3lab-xattr-link");
    try(lsetxattr("/tmp/cr3lab-xattr-link", "user.a", "x", 1, 0));
    try(lgetxattr("/tmp/cr3lab-xattr-link", "user.a", value, 1));
    try(setxattr("/tmp/cr3lab-xattr-link", "user.through", "x", 1, 0));
    list(name);
    mkfifo("/tmp/cr3lab-xattr-fifo", 0600);
    try(setxattr("/tmp/cr3lab-xattr-fifo", "user.a", "x", 1, 0));
    try(getxattr("/tmp/cr3lab-xattr-fifo", "user.a", value, 1));
    try(getxattr(name, "system.posix_acl_access", value, 1));
    try(getxattr(name, "security.capability", value, 1));
    try(setxattr("/proc/self/status", "user.a", "x", 1, 0));
    int reader = open(name, O_RDONLY), place = open(name, O_PATH);
    try(fsetxattr(reader, "user.r", "x", 1, 0));
    try(fsetxattr(place, "user.r", "x", 1, 0));
    try(fgetxattr(place, "user.r", value, 1));
    unlink("/tmp/cr3lab-xattr-fifo");
    unlink("/tmp/cr3lab-xattr-link");
    unlink(name);
    return 0;
}
