/* Which options have sockets, with which defaults, and what do they make of what is set? */
#include "net.h"

static void get(int fd, int level, int name)
{
    int value[4] = {-1, -1, -1, -1};
    socklen_t n = sizeof value;
    int result = getsockopt(fd, level, name, value, &n);
    say("get %d/%d: %d errno %d length %d value %d\n", level, name, result, result ? errno : 0, n,
        result ? 0 : value[0]);
}

static void set(int fd, int level, int name, int value)
{
    int result = setsockopt(fd, level, name, &value, sizeof value);
    say("set %d/%d %d: %d errno %d; ", level, name, value, result, result ? errno : 0);
    get(fd, level, name);
}

int main(void)
{
    int fds[3] = {socket(AF_UNIX, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};
    for (int i = 0; i < 3; i++) {
        static const int names[] = {SO_TYPE,      SO_DOMAIN,    SO_PROTOCOL,  SO_ERROR,   SO_ACCEPTCONN, SO_REUSEADDR,
                                    SO_KEEPALIVE, SO_BROADCAST, SO_OOBINLINE, SO_LINGER,  SO_RCVLOWAT,   SO_RCVTIMEO,
                                    SO_SNDTIMEO,  SO_DEBUG,     SO_DONTROUTE, SO_PRIORITY};
        for (unsigned j = 0; j < sizeof names / sizeof names[0]; j++)
            get(fds[i], SOL_SOCKET, names[j]);
        set(fds[i], SOL_SOCKET, SO_SNDBUF, 10000);
        set(fds[i], SOL_SOCKET, SO_RCVBUF, 10000);
        set(fds[i], SOL_SOCKET, SO_SNDBUF, 0);
        set(fds[i], SOL_SOCKET, SO_RCVBUF, 0);
        set(fds[i], SOL_SOCKET, SO_REUSEADDR, 7);
        set(fds[i], SOL_SOCKET, SO_TYPE, 1);
        set(fds[i], SOL_SOCKET, 999, 1);
        set(fds[i], SOL_SOCKET, SO_RCVTIMEO, 1);
        set(fds[i], 255, 1, 1);
        set(fds[i], SOL_TCP, TCP_NODELAY, 1);
        set(fds[i], SOL_TCP, TCP_KEEPIDLE, 30);
    }
    set(fds[0], SOL_SOCKET, SO_PASSCRED, 1);
    set(fds[1], SOL_IP, IP_TTL, 9);
    set(fds[1], SOL_IPV6, IPV6_V6ONLY, 1);
    struct linger linger = {1, 30};
    try(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    get(fds[1], SOL_SOCKET, SO_LINGER);
    struct timeval bad = {0, 1000000}, good = {2, 500000}, back;
    socklen_t n = sizeof back;
    try(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad));
    try(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &good, sizeof good));
    getsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &back, &n);
    say("timeout %ld %ld\n", (long)back.tv_sec, (long)back.tv_usec);
    struct ucred ids;
    n = sizeof ids;
    getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &ids, &n);
    say("nobody %d %d %d\n", ids.pid, ids.uid, ids.gid);
    char brand[32];
    n = sizeof brand;
    getsockopt(fds[1], SOL_TCP, TCP_CONGESTION, brand, &n);
    say("congestion %d\n", n);
    n = 2;
    try(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, brand, &n));
    say("cut to %d\n", n);
    n = -1;
    try(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, brand, &n));
    try(setsockopt(fds[0], SOL_SOCKET, SO_REUSEADDR, brand, 2));
    try(setsockopt(fds[0], SOL_SOCKET, SO_REUSEADDR, (void *)8, 4));
    try(setsockopt(0, SOL_SOCKET, SO_REUSEADDR, brand, 4));
    static const int kinds[][3] = {{99, 1, 0},  {AF_UNIX, 9, 0}, {AF_UNIX, 1, 5}, {AF_INET, 1, 17}, {AF_INET, 5, 0},
                                   {AF_INET, 0, 0}, {AF_INET, 2, 6}, {AF_UNIX, 0x101, 0}, {-1, 1, 0}};
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        int fd = socket(kinds[i][0], kinds[i][1], kinds[i][2]);
        say("socket %d %d %d: %d errno %d\n", kinds[i][0], kinds[i][1], kinds[i][2], fd, errno);
    }
    return 0;
}
