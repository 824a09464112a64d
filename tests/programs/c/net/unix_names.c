/* Which names can AF_UNIX sockets have: paths, abstract, autobind, taken, too long, unlinked, not a socket? */
#include "net.h"

static void show(int fd)
{
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    memset(&a, '#', sizeof a);
    try(getsockname(fd, (void *)&a, &n));
    say("  length %d family %d first %d\n", n, a.sun_family, n > 2 ? a.sun_path[0] : -1);
}

int main(void)
{
    char directory[] = "/tmp/cr3lab-XXXXXX";
    struct sockaddr_un a = {AF_UNIX}, b;
    struct stat st;
    mkdtemp(directory);
    chdir(directory);
    umask(027);
    int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_DGRAM, 0);
    show(s);
    strcpy(a.sun_path, "name");
    try(bind(s, (void *)&a, sizeof a));
    show(s);
    stat("name", &st);
    say("mode %o size %d\n", st.st_mode, (int)st.st_size);
    try(bind(s, (void *)&a, sizeof a));
    try(bind(t, (void *)&a, sizeof a));
    try(open("name", O_RDWR));
    try(connect(t, (void *)&a, sizeof a));
    try(listen(s, 5));
    try(connect(d, (void *)&a, sizeof a));
    try(connect(t, (void *)&a, 2 + 5));
    try(connect(t, (void *)&a, 2 + 5));
    unlink("name");
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    try(connect(u, (void *)&a, sizeof a));
    close(open("name", O_CREAT | O_WRONLY, 0600));
    try(connect(u, (void *)&a, sizeof a));
    try(bind(u, (void *)&a, sizeof a));
    unlink("name");
    try(bind(u, (void *)&a, 2 + 2)); /* only "na" */
    show(u);
    strcpy(a.sun_path, "missing/name");
    try(bind(d, (void *)&a, sizeof a));
    try(bind(d, (void *)&a, 1));
    try(bind(d, (void *)&a, 111));
    a.sun_family = AF_INET;
    try(bind(d, (void *)&a, sizeof a));
    a.sun_family = AF_UNIX;
    try(bind(d, (void *)8, sizeof a));
    try(bind(0, (void *)&a, sizeof a));
    try(bind(99, (void *)&a, sizeof a));

    try(bind(d, (void *)&a, 2));
    show(d);
    socklen_t n = abstract(&b, "one");
    int e = socket(AF_UNIX, SOCK_DGRAM, 0), f = socket(AF_UNIX, SOCK_DGRAM, 0);
    try(bind(e, (void *)&b, n));
    try(bind(f, (void *)&b, n));
    close(e);
    try(connect(f, (void *)&b, n));
    try(bind(f, (void *)&b, n));
    try(mknod("node", S_IFSOCK | 0600, 0));
    strcpy(a.sun_path, "node");
    try(connect(f, (void *)&a, sizeof a));
    unlink("node");
    unlink("na");
    chdir("/");
    try(rmdir(directory));
    return 0;
}
