/* What happens to descriptors sent with SCM_RIGHTS: order, close-on-exec, truncation, peeking, never received, cycles? */
/* not musl: its struct msghdr has padding between the fields, and sendmsg looks into bad headers itself */
#include "net.h"

static ssize_t send_fds(int socket, const char *text, int count, const int *fds)
{
    char control[CMSG_SPACE(10 * sizeof(int))] = {0};
    struct iovec iov = {(void *)text, strlen(text)};
    struct msghdr message = {0, 0, &iov, 1, control, CMSG_SPACE(count * sizeof(int)), 0};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(socket, &message, 0);
}

static int take(int socket, int room, int flags, int *fds)
{
    char control[200] = {0}, text[32];
    struct iovec iov = {text, sizeof text};
    struct msghdr message = {0, 0, &iov, 1, control, room, 0};
    ssize_t n = recvmsg(socket, &message, flags | MSG_DONTWAIT);
    struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : 0;
    int count = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    say("received %zd \"%.*s\" flags %x control %d fds %d\n", n, n > 0 ? (int)n : 0, text, message.msg_flags,
        n >= 0 ? (int)message.msg_controllen : -1, count);
    if (count)
        memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return count;
}

int main(void)
{
    int v[2], p[2], got[10], three[3];
    char b[32];
    socketpair(AF_UNIX, SOCK_STREAM, 0, v);
    pipe(p);
    three[0] = p[1], three[1] = p[0], three[2] = p[1];
    send_fds(v[0], "first", 2, three);
    write(v[0], "plain", 5);
    send_fds(v[0], "second", 3, three);
    write(v[0], "rest", 4);
    close(p[0]);
    int n = take(v[1], 100, MSG_CMSG_CLOEXEC, got);
    say("cloexec %d\n", fcntl(got[0], F_GETFD));
    write(got[0], "through", 7);
    say("pipe %zd\n", read(got[1], b, 32));
    while (n--)
        close(got[n]);
    take(v[1], 100, 0, got); /* what came before the descriptors comes with them */
    take(v[1], 100, 0, got);
    send_fds(v[0], "cut", 3, three + 0);
    take(v[1], CMSG_LEN(2 * sizeof(int)), 0, got);
    three[1] = p[1];
    say("sent %zd\n", send_fds(v[0], "cut", 3, three));
    take(v[1], CMSG_LEN(2 * sizeof(int)), 0, got);
    send_fds(v[0], "none", 3, three);
    take(v[1], 0, 0, got);
    send_fds(v[0], "peek", 1, three);
    take(v[1], 100, MSG_PEEK, got);
    take(v[1], 100, 0, got + 1);
    say("two descriptors %d\n", got[0] != got[1]);
    send_fds(v[0], "by read", 1, three);
    say("read %zd\n", read(v[1], b, 32));
    three[0] = 77;
    say("bad %zd", send_fds(v[0], "x", 1, three));
    say(" errno %d\n", errno);

    three[0] = v[1]; /* a socket in its own queue, closed: never seen again */
    say("cycle %zd\n", send_fds(v[0], "self", 1, three));
    close(v[0]);
    close(v[1]);
    int pairs[2][2], file = syscall(SYS_memfd_create, "m", 0);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[0]);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[1]);
    ftruncate(file, 1 << 20);
    write(file, "in a cycle", 10);
    send_fds(pairs[0][0], "a", 1, (int[]){pairs[1][1]});
    send_fds(pairs[1][0], "b", 2, (int[]){pairs[0][1], file});
    for (int i = 0; i < 4; i++)
        close(pairs[i / 2][i % 2]);

    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, v);
    pid_t child = fork(); /* to another process, which has it when the sender has closed it */
    if (child == 0) {
        close(v[0]);
        struct pollfd set = {v[1], POLLIN, 0};
        poll(&set, 1, -1);
        take(v[1], 100, 0, got);
        say("file %zd", pread(got[0], b, 10, 0));
        say(" %.10s\n", b);
        _exit(0);
    }
    send_fds(v[0], "file", 1, &file);
    close(file);
    close(v[0]);
    wait_and_say("child", child);
    return 0;
}
