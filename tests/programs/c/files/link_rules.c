/* What do link, symlink, readlink and unlink say about counts, kinds, empty names, O_PATH and nameless files? */
#include "say.h"

int main(void)
{
    char text[64];
    struct stat status;
    mkdir("links", 0755);
    chdir("links");
    mkdir("d", 0755);
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    try(link("f", "g"));
    try(link("f", "g"));
    try(link("d", "e"));
    try(link("none", "h"));
    try(link("f", "d/"));
    try(link("f/", "h"));
    try(link("f", "h/"));
    try(link("", "h"));
    try(link("f", ""));
    try(symlink("f", "s"));
    try(symlink("", "t"));
    try(symlink("f", "s"));
    try(symlink("f", "t/"));
    try(symlink("f", "d/."));
    try(link("s", "s2")); /* the link itself */
    lstat("s2", &status);
    say("%d links, link %d\n", (int)status.st_nlink, S_ISLNK(status.st_mode));
    try(linkat(AT_FDCWD, "s", AT_FDCWD, "through", AT_SYMLINK_FOLLOW));
    fstat(fd, &status);
    say("%d links\n", (int)status.st_nlink);
    try(linkat(AT_FDCWD, "f", AT_FDCWD, "h", 1));
    try(linkat(fd, "", AT_FDCWD, "by-fd", AT_EMPTY_PATH));
    try(linkat(fd, "", AT_FDCWD, "by-fd2", 0));
    memset(text, '-', sizeof text);
    try(readlink("s", text, 1));
    say("%.2s\n", text);
    try(readlink("s", text, 0));
    try(readlink("s", text, -1));
    try(readlink("s", (char *)8, 4));
    try(readlink("f", text, 4));
    try(readlink("none", text, 4));
    try(readlink("", text, 4));
    try(readlink("s/", text, 4));
    int place = open("s", O_PATH | O_NOFOLLOW), plain = open("f", O_PATH);
    try(readlinkat(place, "", text, 4));
    try(readlinkat(plain, "", text, 4));
    try(readlinkat(AT_FDCWD, "", text, 4));
    lstat("s", &status);
    say("size %ld mode %o\n", (long)status.st_size, status.st_mode);
    try(unlink("s/"));
    try(unlink("f/"));
    try(unlink("d"));
    try(unlink("d/."));
    try(unlink(""));
    try(rmdir("s"));
    try(rmdir("d/."));
    try(rmdir("d/.."));
    try(rmdir("."));
    try(unlinkat(AT_FDCWD, "f", 1));
    try(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
    try(unlink("f"));
    try(unlink("g"));
    try(unlink("through"));
    try(unlink("by-fd"));
    fstat(fd, &status);
    say("%d links\n", (int)status.st_nlink);
    try(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
    sprintf(text, "/proc/self/fd/%d", fd);
    try(linkat(AT_FDCWD, text, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
    int nameless = open(".", O_TMPFILE | O_RDWR, 0600), never = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    try(linkat(nameless, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    try(linkat(nameless, "", AT_FDCWD, "named2", AT_EMPTY_PATH));
    try(linkat(never, "", AT_FDCWD, "never", AT_EMPTY_PATH));
    fstat(nameless, &status);
    say("%d links\n", (int)status.st_nlink);
    static const char *left[] = {"s", "s2", "named", "named2"};
    for (int i = 0; i < 4; i++)
        unlink(left[i]);
    rmdir("d");
    chdir("..");
    try(rmdir("links"));
    return 0;
}
