/* How does a TCP connection over loopback live and die: connect, names, half close, reset, SIGPIPE? */
#include "net.h"

int main(void)
{
    char b[100];
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    on(SIGPIPE, count_sigpipe, 0);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    show_poll("fresh", s);
    piped(send(s, "x", 1, 0));
    try(recv(s, b, 1, 0));
    try(shutdown(s, SHUT_RDWR));
    try(accept(s, 0, 0));
    try(getpeername(s, (void *)&a, &n));
    close(s);
    s = tcp_listener(5);
    show_poll("listening", s);
    try(recv(s, b, 1, 0));
    int c = tcp_connect(port_of(s));
    show_poll("pending", s);
    int d = accept(s, (void *)&a, &n);
    say("client's port %d\n", ntohs(a.sin_port) == port_of(c));
    say("server's port %d\n", port_of(d) == port_of(s));
    getpeername(c, (void *)&a, &n);
    say("peer %s %d\n", inet_ntoa(a.sin_addr), ntohs(a.sin_port) == port_of(s));
    show_poll("connected", c);
    write(c, "hello", 5);
    write(c, "world", 5);
    try(recv(d, b, 8, MSG_PEEK));
    try(recv(d, b, 100, MSG_WAITALL | MSG_DONTWAIT));
    try(recv(d, b, 100, MSG_DONTWAIT));
    try(shutdown(c, SHUT_WR));
    piped(write(c, "x", 1));
    try(recv(d, b, 10, 0));
    show_poll("half closed", d);
    show_poll("half closing", c);
    write(d, "still", 5);
    try(recv(c, b, 10, 0));
    close(d);
    try(recv(c, b, 10, 0));
    show_poll("both closed", c);
    try(getpeername(c, (void *)&a, &n));
    close(c);

    c = tcp_connect(port_of(s)), d = accept(s, 0, 0);
    write(c, "unread", 6);
    write(d, "kept", 4);
    close(d); /* with bytes that nobody read: a reset */
    show_poll("reset", c);
    try(recv(c, b, 10, 0));
    try(recv(c, b, 10, 0));
    try(recv(c, b, 10, 0));
    piped(write(c, "x", 1));
    close(c);

    c = tcp_connect(port_of(s)), d = accept(s, 0, 0);
    close(d);
    show_poll("closed", c);
    piped(write(c, "x", 1)); /* goes, and is answered by a reset */
    show_poll("after the answer", c);
    piped(send(c, "x", 1, MSG_NOSIGNAL));
    piped(write(c, "x", 1));
    try(recv(c, b, 10, 0));
    close(c);

    c = tcp_connect(port_of(s)), d = accept(s, 0, 0);
    struct linger now = {1, 0};
    setsockopt(d, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(d);
    int error = 0;
    getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){4});
    say("lingered %d\n", error);
    try(recv(c, b, 10, 0));
    close(c);

    c = tcp_connect(port_of(s));
    write(c, "early", 5);
    d = accept(s, 0, 0);
    say("early %zd\n", read(d, b, 10));
    close(d);
    int lost = tcp_connect(port_of(s));
    close(s); /* with a connection that nobody accepted */
    try(recv(lost, b, 1, 0));
    return 0;
}
