/* What do UDP sockets do: truncation, empty datagrams, connected peers, refused, sizes, who gets it? */
#include "net.h"

int main(void)
{
    char b[100];
    static char large[70000];
    struct sockaddr_in a = loopback(0), from;
    socklen_t n = sizeof from;
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), error = 0;
    show_poll("fresh", s);
    try(send(s, "x", 1, 0));
    try(recv(s, b, 1, MSG_DONTWAIT));
    try(bind(s, (void *)&a, sizeof a));
    a = loopback(port_of(s));
    try(sendto(c, "0123456789", 10, 0, (void *)&a, sizeof a));
    try(sendto(c, "", 0, 0, (void *)&a, sizeof a));
    sendto(c, "abc", 3, 0, (void *)&a, sizeof a);
    show_poll("readable", s);
    int left = -1;
    ioctl(s, FIONREAD, &left);
    say("next %d\n", left);
    try(recv(s, b, 4, MSG_PEEK | MSG_TRUNC));
    struct iovec iov = {b, 4};
    struct msghdr message = {&from, sizeof from, &iov, 1, 0, 0, 0};
    try(recvmsg(s, &message, 0));
    say("flags %x name %d port %d\n", message.msg_flags, message.msg_namelen, ntohs(from.sin_port) == port_of(c));
    try(recvfrom(s, b, 100, 0, (void *)&from, &n));
    try(read(s, b, 100));
    try(sendto(s, "reply", 5, 0, (void *)&from, n));
    try(recv(c, b, 100, 0));

    try(connect(c, (void *)&a, sizeof a));
    try(send(c, large, 65507, 0));
    try(send(c, large, 65508, 0));
    try(recv(s, large, sizeof large, 0));
    int stranger = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = loopback(port_of(c));
    try(sendto(stranger, "x", 1, 0, (void *)&to, sizeof to)); /* c hears its peer only */
    try(recv(c, b, 10, MSG_DONTWAIT));
    try(sendto(c, "elsewhere", 9, 0, (void *)&to, sizeof to));
    close(s);
    try(send(c, "x", 1, 0));
    show_poll("refused", c);
    try(send(c, "x", 1, 0));
    try(send(c, "x", 1, 0));
    try(recv(c, b, 10, MSG_DONTWAIT));
    try(recv(c, b, 10, MSG_DONTWAIT));
    send(c, "x", 1, 0);
    getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){4});
    say("error %d\n", error);
    try(sendto(stranger, "x", 1, 0, (void *)&a, sizeof a));
    try(recv(stranger, b, 10, MSG_DONTWAIT));
    struct sockaddr none = {AF_UNSPEC};
    try(connect(c, &none, sizeof none));
    try(send(c, "x", 1, 0));
    to.sin_port = 0;
    try(sendto(c, "x", 1, 0, (void *)&to, sizeof to));
    try(sendto(c, "x", 1, 0, (void *)&to, 8));
    to.sin_family = 77;
    try(sendto(c, "x", 1, 0, (void *)&to, sizeof to));
    on(SIGPIPE, count_sigpipe, 0);
    try(shutdown(c, SHUT_WR));
    connect(c, (void *)&a, sizeof a);
    piped(send(c, "x", 1, 0));
    try(shutdown(c, SHUT_RD));
    try(recv(c, b, 10, 0));
    try(listen(c, 1));
    try(accept(c, 0, 0));
    struct timeval brief = {0, 5000};
    setsockopt(stranger, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
    try(recv(stranger, b, 10, 0));
    return 0;
}
