/* Whose credentials does a receiver with SO_PASSCRED see, and when are they nobody's? */
/* not musl: its struct msghdr has padding between the fields, and sendmsg looks into bad headers itself */
#include "net.h"

static pid_t self;

static void take(int fd)
{
    char control[200], b[32];
    struct iovec iov = {b, sizeof b};
    struct msghdr message = {0, 0, &iov, 1, control, sizeof control, 0};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
    struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : 0;
    say("received %zd flags %x", n, n >= 0 ? message.msg_flags : 0);
    if (header) {
        struct ucred ids;
        memcpy(&ids, CMSG_DATA(header), sizeof ids);
        say(" type %d from %s %s", header->cmsg_type,
            ids.pid == self ? "self" : ids.pid == 0 ? "nobody" : "another",
            ids.uid == getuid() && ids.gid == getgid() ? "me" : ids.uid == 65534 ? "nobody" : "somebody");
    }
    say("\n");
}

int main(void)
{
    int v[2], on_ = 1;
    self = getpid();
    socketpair(AF_UNIX, SOCK_STREAM, 0, v);
    write(v[0], "before", 6);
    setsockopt(v[1], SOL_SOCKET, SO_PASSCRED, &on_, sizeof on_);
    write(v[0], "after", 5);
    take(v[1]);
    take(v[1]);
    pid_t child = fork();
    if (child == 0) {
        write(v[0], "child", 5);
        _exit(0);
    }
    waitpid(child, 0, 0);
    write(v[0], "parent", 6);
    take(v[1]); /* bytes of different senders are not mixed */
    take(v[1]);
    char small[4];
    struct iovec iov = {small, sizeof small};
    struct msghdr message = {0, 0, &iov, 1, 0, 0, 0};
    write(v[0], "no room", 7);
    say("%zd", recvmsg(v[1], &message, 0));
    say(" flags %x\n", message.msg_flags);
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct msghdr out = {0, 0, &iov, 1, control, sizeof control, 0};
    struct cmsghdr *header = CMSG_FIRSTHDR(&out);
    struct ucred mine = {self, getuid(), getgid()};
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_CREDENTIALS, header->cmsg_len = CMSG_LEN(sizeof mine);
    memcpy(CMSG_DATA(header), &mine, sizeof mine);
    try(sendmsg(v[0], &out, 0));
    take(v[1]);
    header->cmsg_len = CMSG_LEN(4);
    try(sendmsg(v[0], &out, 0));
    header->cmsg_type = 99;
    try(sendmsg(v[0], &out, 0));
    header->cmsg_len = 4;
    try(sendmsg(v[0], &out, 0));
    return 0;
}
