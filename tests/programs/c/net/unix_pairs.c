/* What do the ends of a socketpair see when the other writes, shuts down, closes: stream, datagram, seqpacket? */
#include "net.h"

static void ends(int type)
{
    int v[2];
    char b[100];
    say("type %d\n", type);
    socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, v);
    show_poll("fresh", v[0]);
    try(write(v[0], "abc", 3));
    try(write(v[0], "de", 2));
    try(recv(v[1], b, 4, MSG_PEEK));
    try(read(v[1], b, 4));
    int n = -1;
    ioctl(v[1], FIONREAD, &n);
    say("left %d\n", n);
    try(recv(v[1], b, 100, MSG_DONTWAIT));
    try(recv(v[1], b, 100, MSG_DONTWAIT));
    write(v[0], "x", 1);
    close(v[1]);
    show_poll("closed with unread", v[0]);
    piped(write(v[0], "x", 1));
    piped(write(v[0], "x", 1));
    try(recv(v[0], b, 10, MSG_DONTWAIT));
    try(recv(v[0], b, 10, MSG_DONTWAIT));
    close(v[0]);

    socketpair(AF_UNIX, type, 0, v);
    write(v[0], "last", 4);
    try(shutdown(v[0], SHUT_WR));
    piped(write(v[0], "x", 1));
    show_poll("shut", v[0]);
    show_poll("its peer", v[1]);
    try(recv(v[1], b, 10, MSG_DONTWAIT));
    try(recv(v[1], b, 10, MSG_DONTWAIT));
    try(send(v[1], "back", 4, MSG_NOSIGNAL));
    try(recv(v[0], b, 10, MSG_DONTWAIT));
    try(shutdown(v[0], SHUT_RD));
    piped(write(v[1], "x", 1));
    piped(send(v[1], "x", 1, MSG_NOSIGNAL));
    try(recv(v[0], b, 10, MSG_DONTWAIT));
    show_poll("both shut", v[0]);
    try(shutdown(v[0], 3));
    close(v[0]);
    close(v[1]);
}

int main(void)
{
    on(SIGPIPE, count_sigpipe, 0);
    ends(SOCK_STREAM);
    ends(SOCK_DGRAM);
    ends(SOCK_SEQPACKET);
    int v[2];
    try(socketpair(AF_INET, SOCK_STREAM, 0, v));
    try(socketpair(AF_UNIX, SOCK_STREAM, 5, v));
    try(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8));
    try(dup(0));
    return 0;
}
