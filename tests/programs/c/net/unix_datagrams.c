/* Whom do AF_UNIX datagrams reach: names, replies, connected peers, full queues, sizes, closed receivers? */
#include "net.h"

int main(void)
{
    struct sockaddr_un a, b, from;
    socklen_t n = abstract(&a, "a"), m = abstract(&b, "b"), size = sizeof from;
    char text[100];
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0), d = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(s, (void *)&a, n);
    try(sendto(c, "anonymous", 9, 0, (void *)&a, n));
    try(recvfrom(s, text, 100, 0, (void *)&from, &size));
    say("from %d\n", size);
    bind(c, (void *)&b, m);
    sendto(c, "named", 5, 0, (void *)&a, n);
    sendto(c, "", 0, 0, (void *)&a, n);
    size = sizeof from;
    try(recvfrom(s, text, 2, MSG_TRUNC, (void *)&from, &size));
    say("from b %d\n", size == m && !memcmp(&from, &b, m));
    try(recv(s, text, 100, 0));
    try(sendto(s, "reply", 5, 0, (void *)&from, size));
    try(recv(c, text, 100, 0));
    try(send(c, "x", 1, 0));
    try(sendto(d, "x", 1, 0, (void *)&b, m + 1));

    try(connect(s, (void *)&b, m));
    try(sendto(d, "x", 1, 0, (void *)&a, n)); /* s listens to b only */
    try(connect(d, (void *)&a, n));
    try(send(s, "to b", 4, 0));
    try(recv(c, text, 100, 0));
    struct sockaddr none = {AF_UNSPEC};
    try(connect(s, &none, sizeof none));
    try(connect(d, (void *)&a, n));
    int sent = 0;
    while (send(d, "x", 1, MSG_DONTWAIT) == 1)
        sent++;
    say("queue of %d, errno %d\n", sent, errno);
    show_poll("full", d);
    recv(s, text, 1, 0);
    show_poll("a place", d);
    struct timeval brief = {0, 10000};
    setsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
    try(send(d, "x", 1, 0));
    try(send(d, "x", 1, 0));
    static char large[300000];
    try(send(d, large, sizeof large, 0));
    pid_t child = fork();
    if (child == 0) {
        rest(5);
        recv(s, text, 1, 0);
        _exit(0);
    }
    brief.tv_usec = 0;
    setsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
    try(send(d, "y", 1, 0)); /* waits for the child */
    wait_and_say("reader", child);
    close(s);
    try(send(d, "x", 1, 0));
    try(send(d, "x", 1, 0));
    try(recv(d, text, 1, MSG_DONTWAIT));
    try(getpeername(d, (void *)&from, &size));

    int v[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, v);
    sent = 0;
    while (send(v[0], "x", 1, MSG_DONTWAIT) == 1)
        sent++;
    say("a pair holds %d, errno %d\n", sent, errno);
    return 0;
}
