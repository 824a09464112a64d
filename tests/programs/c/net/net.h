/* What the programs about sockets share. Ports are chosen by the kernel and not printed; names are abstract. */
#ifndef NET_H
#define NET_H
#include "say.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int sigpipes;

static inline void count_sigpipe(int signo, siginfo_t *info, void *context)
{
    sigpipes++;
}

/* Prints the result of a call that may send SIGPIPE. */
#define piped(call)                                                                                                    \
    do {                                                                                                               \
        sigpipes = 0;                                                                                                  \
        long result_ = (long)(call);                                                                                   \
        say("%s: %ld errno %d SIGPIPE %d\n", #call, result_, result_ == -1 ? errno : 0, sigpipes);                     \
    } while (0)

static inline void show_poll(const char *who, int fd)
{
    struct pollfd set = {fd, 0x7fff, 0};
    poll(&set, 1, 0);
    say("%s polls %x\n", who, set.revents);
}

/* An abstract name of this process's own. */
static inline socklen_t abstract(struct sockaddr_un *address, const char *name)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int n = sprintf(address->sun_path + 1, "cr3lab-%d-%s", getpid(), name);
    return offsetof(struct sockaddr_un, sun_path) + 1 + n;
}

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int port_of(int fd)
{
    struct sockaddr_in6 address;
    socklen_t n = sizeof address;
    getsockname(fd, (void *)&address, &n);
    return ntohs(address.sin6_port);
}

/* A listening TCP socket on a free port of 127.0.0.1. */
static inline int tcp_listener(int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, backlog))
        abort();
    return fd;
}

static inline int tcp_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(port);
    if (connect(fd, (void *)&address, sizeof address))
        abort();
    return fd;
}
#endif
