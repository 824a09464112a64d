/* Which combinations of flags, kinds of file and endings of a path does open accept, and with which error not? */
#include "say.h"

static void how(const char *path, int flags)
{
    errno = 0;
    int fd = open(path, flags, 0640);
    if (fd < 0)
        say(" %d", -errno);
    else {
        say(" %o", fcntl(fd, F_GETFL) & ~0100000);
        close(fd);
    }
}

int main(void)
{
    char name[300], deep[4200];
    mkdir("rules", 0755);
    chdir("rules");
    mkdir("dir", 0755);
    close(open("file", O_CREAT | O_WRONLY, 0644));
    symlink("file", "to-file");
    symlink("dir", "to-dir");
    symlink("none", "to-none");
    symlink("loop", "loop");
    symlink("file/", "to-slash");
    mkfifo("fifo", 0600);
    static const char *paths[] = {"file", "dir", "to-file", "to-dir", "to-none", "loop", "to-slash", "file/", "dir/",
        "to-file/", "to-dir/", "none/", "none/x", "file/x", "dir/.", "file/.", "dir/..", "", "."};
    static const int flags[] = {O_RDONLY, O_WRONLY, 3, O_RDONLY | O_DIRECTORY, O_RDONLY | O_NOFOLLOW, O_PATH,
        O_PATH | O_NOFOLLOW, O_PATH | O_DIRECTORY, O_RDWR | O_TRUNC, O_RDONLY | O_TRUNC, O_RDWR | O_APPEND | O_NONBLOCK};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        say("%s:", paths[i]);
        for (size_t j = 0; j < sizeof flags / sizeof *flags; j++)
            how(paths[i], flags[j]);
        say("\n");
    }
    static const char *new[] = {"new", "dir", "file", "to-file", "to-none", "loop", "new/", "file/", "dir/", "dir/.",
        "to-dir/new", "none/new", "file/new", "to-slash"};
    static const int making[] = {O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR, O_CREAT | O_NOFOLLOW, O_CREAT | O_DIRECTORY,
        O_CREAT | O_RDONLY | O_TRUNC};
    for (size_t i = 0; i < sizeof new / sizeof *new; i++) {
        say("make %s:", new[i]);
        for (size_t j = 0; j < sizeof making / sizeof *making; j++)
            how(new[i], making[j]);
        unlink("new");
        unlink("none");
        unlink("dir/new");
        say("\n");
    }
    how("fifo", O_RDONLY | O_NONBLOCK);
    how("fifo", O_WRONLY | O_NONBLOCK);
    how("fifo", O_RDWR);
    how(".", O_TMPFILE | O_RDWR);
    how("file", O_TMPFILE | O_RDWR);
    how(".", O_TMPFILE);
    how(".", O_TMPFILE | O_CREAT | O_RDWR);
    how(".", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR);
    how("/dev/null", O_RDWR | O_TRUNC | O_CREAT);
    how("/dev/null", O_DIRECTORY);
    how("/dev/null/", O_RDONLY);
    memset(name, 'n', 256);
    name[256] = 0;
    how(name, O_RDONLY);
    how(name, O_CREAT | O_WRONLY);
    name[255] = 0;
    how(name, O_CREAT | O_WRONLY);
    unlink(name);
    for (int i = 0; i < 4200; i += 2)
        memcpy(deep + i, "./", 2);
    memcpy(deep + 4092, "./x", 4);
    how(deep, O_RDONLY);
    memcpy(deep + 4090, "file", 5);
    how(deep, O_RDONLY);
    how((char *)8, O_RDONLY);
    try(openat(99, "file", O_RDONLY));
    try(openat(open("file", O_RDONLY), "x", O_RDONLY));
    try(openat(-1, "/dev/null", O_RDONLY) > 0);
    try(creat("dir", 0600));
    static const char *left[] = {"file", "to-file", "to-dir", "to-none", "loop", "to-slash", "fifo"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unlink(left[i]);
    rmdir("dir");
    chdir("..");
    try(rmdir("rules"));
    return 0;
}
