/* How do AF_UNIX connections come about: listen, accept, credentials, names of both ends, a full backlog? */
#include "net.h"

static void listener(int type)
{
    struct sockaddr_un a, other;
    struct ucred ids;
    socklen_t n = abstract(&a, "server"), m = sizeof other, size = sizeof ids;
    char b[32];
    int s = socket(AF_UNIX, type, 0), yes = 0;
    try(listen(s, 1));
    bind(s, (void *)&a, n);
    try(accept(s, 0, 0));
    try(listen(s, 1));
    show_poll("listening", s);
    pid_t child = fork();
    if (child == 0) {
        int c = socket(AF_UNIX, type, 0);
        int failed = connect(c, (void *)&a, n);
        getsockopt(c, SOL_SOCKET, SO_PEERCRED, &ids, &size);
        write(c, "hello", 5);
        say("answer %zd\n", read(c, b, 32));
        say("connect %d, server is parent %d\n", failed, ids.pid == getppid());
        say("end %zd\n", read(c, b, 32));
        _exit(0);
    }
    int c = accept4(s, (void *)&other, &m, SOCK_CLOEXEC | SOCK_NONBLOCK);
    say("client's name %d, flags %d %d\n", m, fcntl(c, F_GETFD), !!(fcntl(c, F_GETFL) & O_NONBLOCK));
    getsockopt(c, SOL_SOCKET, SO_PEERCRED, &ids, &size);
    say("client is child %d uid %d\n", ids.pid == child, ids.uid == getuid());
    fcntl(c, F_SETFL, 0);
    say("got %zd\n", read(c, b, 32));
    m = sizeof other;
    getpeername(c, (void *)&other, &m);
    say("peer %d\n", m);
    m = sizeof other;
    getsockname(c, (void *)&other, &m);
    say("own name is the server's %d\n", m == n && !memcmp(&a, &other, n));
    write(c, "bye", 3);
    close(c);
    wait_and_say("client", child);

    int pending[5];
    for (int i = 0; i < 5; i++) {
        pending[i] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        say("connect %d: %d errno %d\n", i, connect(pending[i], (void *)&a, n), errno * (i > 1));
    }
    show_poll("pending", s);
    try(connect(pending[0], (void *)&a, n));
    getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &yes, &(socklen_t){4});
    say("accepts %d\n", yes);
    try(fcntl(s, F_SETFL, O_NONBLOCK));
    say("accept %d\n", accept(s, 0, 0) > 0);
    say("accept %d\n", accept(s, 0, 0) > 0);
    try(accept(s, 0, 0));
    try(accept(pending[0], 0, 0));
    try(send(pending[4], "x", 1, 0));
    try(connect(pending[3], (void *)&a, n));
    close(s); /* resets whom nobody accepted */
    try(recv(pending[3], b, 1, 0));
    try(recv(pending[3], b, 1, 0));
    try(connect(pending[4], (void *)&a, n));
    for (int i = 0; i < 5; i++)
        close(pending[i]);
}

int main(void)
{
    listener(SOCK_STREAM);
    listener(SOCK_SEQPACKET);
    return 0;
}
