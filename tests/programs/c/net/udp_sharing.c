/* Which of several UDP sockets on one port gets a datagram: address, connection, IPv6? */
#include "net.h"

static int six_any(int port)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, 4);
    if (bind(fd, (void *)&a, sizeof a))
        say("bind six: errno %d\n", errno);
    return fd;
}

static int four(const char *ip, int port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_aton(ip, &a.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, 4);
    if (bind(fd, (void *)&a, sizeof a))
        say("bind %s: errno %d\n", ip, errno);
    return fd;
}

int main(void)
{
    int any = four("0.0.0.0", 0), port = port_of(any), one = four("127.0.0.1", port), six = six_any(port);
    int sender = socket(AF_INET, SOCK_DGRAM, 0), sender6 = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in a = loopback(port);
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    sendto(sender, "1", 1, 0, (void *)&a, sizeof a);
    inet_aton("127.0.0.5", &a.sin_addr);
    sendto(sender, "5", 1, 0, (void *)&a, sizeof a);
    sendto(sender6, "6", 1, 0, (void *)&a6, sizeof a6);
    int fds[3] = {any, one, six};
    char b[2];
    for (int i = 0; i < 3; i++)
        for (ssize_t n; (n = recv(fds[i], b, 1, MSG_DONTWAIT)) >= 0;)
            say("socket %d got %c\n", i, b[0]);
    struct sockaddr_in back = loopback(port_of(sender));
    connect(any, (void *)&back, sizeof back);
    a = loopback(port);
    sendto(sender, "c", 1, 0, (void *)&a, sizeof a);
    for (int i = 0; i < 3; i++)
        for (ssize_t n; (n = recv(fds[i], b, 1, MSG_DONTWAIT)) >= 0;)
            say("socket %d got %c\n", i, b[0]);
    try(sendto(sender6, "m", 1, 0, (void *)&a, sizeof a)); /* an IPv4 address for an IPv6 socket */
    int strict = socket(AF_INET, SOCK_DGRAM, 0);
    try(bind(strict, (void *)&a, sizeof a));
    return 0;
}
