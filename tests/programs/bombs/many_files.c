/* Names: files without content until there is no room for more, and directories deeper than any path. */
#include "bomb.h"

int main(void)
{
    char name[300];
    int count = 0, depth = 0, fd;
    mkdir("/tmp/many", 0700);
    chdir("/tmp/many");
    for (;; count++) {
        sprintf(name, "%0200d", count);
        if ((fd = open(name, O_CREAT | O_WRONLY, 0600)) < 0)
            break;
        close(fd);
    }
    say("files: %s, some %d\n", name_of(errno), count > 500);
    for (int i = 0; i < count; i++) {
        sprintf(name, "%0200d", i);
        unlink(name);
    }
    while (depth < 3000 && !mkdir("d", 0700) && !chdir("d"))
        depth++;
    say("depth: %d, getcwd: %s\n", depth, getcwd(name, sizeof name) ? "short" : errno == ERANGE ? "ERANGE" : name_of(errno));
    char path[4096];
    memset(path, 0, sizeof path);
    for (int i = 0; i < 2040; i++)
        memcpy(path + 2 * i, "d/", 2);
    say("a path of that: %s\n", access(path, F_OK) ? "another error" : "fine");
    for (; depth; depth--) {
        chdir("..");
        rmdir("d");
    }
    chdir("/");
    say("gone: %d\n", rmdir("/tmp/many"));
    return 0;
}
