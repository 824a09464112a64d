/* Does a megabyte of TCP arrive whole and in order through buffers that are full, in pieces of all sizes? */
#include "net.h"

enum { TOTAL = 1 << 20 };
static unsigned char data[TOTAL], copy[TOTAL];

int main(void)
{
    for (int i = 0; i < TOTAL; i++)
        data[i] = i * 2654435761u >> 13;
    int s = tcp_listener(1), size = 4096;
    pid_t child = fork();
    if (child == 0) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(c, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        struct sockaddr_in a = loopback(port_of(s));
        connect(c, (void *)&a, sizeof a);
        for (int done = 0, piece = 1; done < TOTAL; piece = piece * 3 % 70001) {
            int n = piece < TOTAL - done ? piece : TOTAL - done;
            struct iovec iov[2] = {{data + done, n / 2}, {data + done + n / 2, n - n / 2}};
            struct msghdr message = {0, 0, iov, 2, 0, 0, 0};
            ssize_t sent = done % 2 ? sendmsg(c, &message, 0) : write(c, data + done, n);
            if (sent <= 0)
                _exit(1);
            done += sent;
        }
        _exit(0);
    }
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    int d = accept(s, 0, 0), done = 0;
    try(recv(d, copy, 100000, MSG_WAITALL));
    done = 100000;
    for (ssize_t n; (n = read(d, copy + done, TOTAL - done < 5000 ? TOTAL - done : 5000)) > 0;)
        done += n;
    say("received %d, same %d\n", done, !memcmp(data, copy, TOTAL));
    wait_and_say("sender", child);
    try(recv(d, copy, 100, MSG_WAITALL));
    return 0;
}
