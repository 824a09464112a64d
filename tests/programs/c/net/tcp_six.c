/* Do IPv6 sockets speak to each other and to IPv4, and what do the addresses look like from there? */
#include "net.h"

static void show(const char *what, struct sockaddr_in6 *a, socklen_t n)
{
    char text[64];
    say("%s: length %d family %d %s\n", what, n, a->sin6_family,
        a->sin6_family == AF_INET6 ? inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof text)
                                   : inet_ntop(AF_INET, &((struct sockaddr_in *)a)->sin_addr, text, sizeof text));
}

int main(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6}, a;
    socklen_t n = sizeof a;
    char b[16];
    int s = socket(AF_INET6, SOCK_STREAM, 0), only = -1;
    getsockopt(s, SOL_IPV6, IPV6_V6ONLY, &only, &(socklen_t){4});
    say("v6only %d\n", only);
    try(bind(s, (void *)&any, sizeof any));
    try(setsockopt(s, SOL_IPV6, IPV6_V6ONLY, &(int){1}, 4));
    listen(s, 5);
    int port = port_of(s);
    any.sin6_port = htons(port);
    any.sin6_addr = in6addr_loopback;
    int c = socket(AF_INET6, SOCK_STREAM, 0);
    try(connect(c, (void *)&any, sizeof any));
    int d = accept(s, (void *)&a, &n);
    show("client", &a, n);
    n = sizeof a;
    getsockname(d, (void *)&a, &n);
    show("server", &a, n);
    write(c, "six", 3);
    say("read %zd\n", read(d, b, 16));
    int four = tcp_connect(port);
    n = sizeof a;
    d = accept(s, (void *)&a, &n);
    show("IPv4 client", &a, n);
    n = sizeof a;
    getpeername(four, (void *)&a, &n);
    show("its server", &a, n);
    write(d, "four", 4);
    say("read %zd\n", read(four, b, 16));
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &any.sin6_addr);
    int mapped = socket(AF_INET6, SOCK_STREAM, 0);
    try(connect(mapped, (void *)&any, sizeof any));
    n = sizeof a;
    getsockname(mapped, (void *)&a, &n);
    show("mapped", &a, n);
    int strict = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(strict, SOL_IPV6, IPV6_V6ONLY, &(int){1}, 4);
    try(connect(strict, (void *)&any, sizeof any));
    try(connect(strict, (void *)&any, 20));
    struct sockaddr_in plain = loopback(port);
    try(connect(strict, (void *)&plain, sizeof plain));
    n = 4; /* too little room: cut off, and told how long it is */
    memset(&a, 0, sizeof a);
    getsockname(mapped, (void *)&a, &n);
    say("cut %d %d\n", n, a.sin6_family);
    n = -1;
    try(getsockname(mapped, (void *)&a, &n));
    return 0;
}
