/* Who may bind which port: taken, reused, any address, IPv6 and IPv4 together, foreign addresses? */
#include "net.h"

static int yes = 1;

static int bound(int family, const char *ip, int port, int option)
{
    int fd = socket(family, SOCK_STREAM, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, family == AF_INET ? ip : "0.0.0.0", &four.sin_addr);
    inet_pton(AF_INET6, family == AF_INET6 ? ip : "::", &six.sin6_addr);
    if (option > 0)
        setsockopt(fd, SOL_SOCKET, option, &yes, sizeof yes);
    if (option < 0)
        setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    int result = family == AF_INET ? bind(fd, (void *)&four, sizeof four) : bind(fd, (void *)&six, sizeof six);
    say("bind %s option %d: %d errno %d\n", ip, option, result, result ? errno : 0);
    return fd;
}

int main(void)
{
    int a = bound(AF_INET, "127.0.0.1", 0, 0), port = port_of(a);
    say("a port %d\n", port > 0);
    bound(AF_INET, "127.0.0.1", port, 0);
    bound(AF_INET, "0.0.0.0", port, 0);
    bound(AF_INET, "127.0.0.2", port, 0);
    bound(AF_INET, "127.0.0.1", port, SO_REUSEADDR);
    bound(AF_INET, "8.8.8.8", 0, 0);
    bound(AF_INET6, "::", port, 0);
    bound(AF_INET6, "::1", port, 0);
    bound(AF_INET6, "::ffff:127.0.0.1", port, 0);

    int b = bound(AF_INET, "127.0.0.1", 0, SO_REUSEADDR), c = bound(AF_INET, "127.0.0.1", port_of(b), SO_REUSEADDR);
    try(listen(b, 1));
    try(listen(c, 1));
    bound(AF_INET, "127.0.0.1", port_of(b), SO_REUSEADDR);
    close(b);
    try(listen(c, 1));

    b = bound(AF_INET, "127.0.0.1", 0, SO_REUSEPORT), c = bound(AF_INET, "127.0.0.1", port_of(b), SO_REUSEPORT);
    try(listen(b, 1));
    try(listen(c, 1));
    bound(AF_INET, "127.0.0.1", port_of(b), 0);

    b = bound(AF_INET6, "::", 0, -1);
    bound(AF_INET, "0.0.0.0", port_of(b), 0);
    c = bound(AF_INET6, "::", 0, 0);
    bound(AF_INET, "0.0.0.0", port_of(c), 0);
    struct sockaddr_in address = loopback(0);
    try(bind(a, (void *)&address, sizeof address));
    address.sin_family = AF_UNSPEC;
    try(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
    try(bind(a, (void *)&address, 4));
    address.sin_family = AF_INET6;
    try(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
    return 0;
}
