/* How does connect fail or wait: refused, in progress, already connected, again after a failure, bad addresses? */
#include "net.h"

int main(void)
{
    int s = tcp_listener(5), port = port_of(s), error = 0;
    struct sockaddr_in a = loopback(port), none;
    struct sockaddr nobody = {AF_UNSPEC};
    socklen_t four = 4;
    int closed = tcp_listener(1);
    none = loopback(port_of(closed));
    close(closed);

    int c = socket(AF_INET, SOCK_STREAM, 0);
    try(connect(c, (void *)&none, sizeof none));
    show_poll("refused", c);
    try(connect(c, (void *)&a, sizeof a));
    try(connect(c, (void *)&a, sizeof a));
    try(listen(c, 1));
    try(bind(c, (void *)&none, sizeof none));
    try(connect(s, (void *)&a, sizeof a));
    close(c);

    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    try(connect(c, (void *)&a, sizeof a));
    struct pollfd set = {c, POLLOUT, 0};
    say("poll %d", poll(&set, 1, 5000));
    say(" %x\n", set.revents);
    getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &four);
    say("error %d\n", error);
    try(connect(c, (void *)&a, sizeof a));
    try(connect(c, (void *)&a, sizeof a));
    close(c);

    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    try(connect(c, (void *)&none, sizeof none));
    set.fd = c;
    say("poll %d", poll(&set, 1, 5000));
    say(" %x\n", set.revents);
    getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &four);
    say("error %d\n", error);
    getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &four);
    say("error %d\n", error);
    close(c);

    c = socket(AF_INET, SOCK_STREAM, 0);
    try(connect(c, (void *)&a, 8));
    a.sin_family = AF_UNIX;
    try(connect(c, (void *)&a, sizeof a));
    a.sin_family = AF_INET;
    try(connect(c, (void *)8, sizeof a));
    try(connect(c, (void *)&a, 200));
    try(connect(c, (void *)&a, -1));
    try(connect(1, (void *)&a, sizeof a));
    a.sin_addr.s_addr = 0; /* this host */
    try(connect(c, (void *)&a, sizeof a));
    socklen_t n = sizeof none;
    getpeername(c, (void *)&none, &n);
    say("peer %s\n", inet_ntoa(none.sin_addr));
    try(connect(c, &nobody, sizeof nobody));
    try(getpeername(c, (void *)&none, &n));
    a = loopback(port);
    inet_aton("127.1.2.3", &a.sin_addr);
    try(connect(c, (void *)&a, sizeof a)); /* nobody listens at that address */
    close(c);
    pid_t child = fork();
    if (child == 0) {
        close(s);
        c = tcp_connect(port);
        char b;
        say("child reads %zd\n", read(c, &b, 1));
        _exit(0);
    }
    int got;
    while ((got = accept(s, 0, 0)) > 0) {
        char b;
        if (recv(got, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
            break; /* the child's: those before it are closed */
        close(got);
    }
    write(got, "x", 1);
    wait_and_say("child", child);
    return 0;
}
