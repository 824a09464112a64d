/* How do sendmsg, recvmsg, sendmmsg and recvmmsg use their vectors, lengths and flags, and what do they refuse? */
/* not musl: its struct msghdr has padding between the fields, and sendmsg looks into bad headers itself */
#include "net.h"

int main(void)
{
    int v[2];
    char one[4], two[8], name[128];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, v);
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cdefg", 5}}, in[2] = {{one, 3}, {two, 8}};
    struct msghdr send = {0, 0, out, 3, 0, 0, 0}, receive = {name, sizeof name, in, 2, 0, 0, 99};
    try(sendmsg(v[0], &send, 0));
    try(recvmsg(v[1], &receive, 0));
    say("%.3s %.4s name %d flags %x\n", one, two, receive.msg_namelen, receive.msg_flags);
    struct mmsghdr many[3] = {{send}, {send}, {send}};
    many[1].msg_hdr.msg_iovlen = 1;
    try(sendmmsg(v[0], many, 3, 0));
    say("%u %u %u\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    struct mmsghdr got[5];
    memset(got, 0, sizeof got);
    for (int i = 0; i < 5; i++)
        got[i].msg_hdr = (struct msghdr){0, 0, in, 2, 0, 0, 0};
    try(recvmmsg(v[1], got, 2, 0, 0));
    say("%u %u\n", got[0].msg_len, got[1].msg_len);
    try(recvmmsg(v[1], got, 5, MSG_WAITFORONE, 0));
    say("%u\n", got[0].msg_len);
    try(recvmmsg(v[1], got, 5, MSG_DONTWAIT, 0));
    struct timespec brief = {0, 0}, bad = {0, -1};
    sendmmsg(v[0], many, 3, 0);
    try(recvmmsg(v[1], got, 5, 0, &brief));
    try(recvmmsg(v[1], got, 5, 0, &bad));
    try(recv(v[1], two, 8, 0));
    try(recv(v[1], two, 8, 0));

    send.msg_iovlen = 1025;
    try(sendmsg(v[0], &send, 0));
    send.msg_iovlen = 3;
    send.msg_iov = (void *)8;
    try(sendmsg(v[0], &send, 0));
    try(sendmsg(v[0], (void *)8, 0));
    send.msg_iov = out;
    send.msg_name = name, send.msg_namelen = -1;
    try(sendmsg(v[0], &send, 0));
    out[0].iov_base = (void *)8;
    send.msg_name = 0, send.msg_namelen = 0;
    try(sendmsg(v[0], &send, 0));
    out[0].iov_len = -1;
    try(sendmsg(v[0], &send, 0));
    try(syscall(SYS_sendto, v[0], 8, 4, 0, 0, 0));
    try(syscall(SYS_recvfrom, v[1], two, 8, MSG_DONTWAIT, 0, 0));
    try(syscall(SYS_sendto, v[0], "full", 4, 0, 0, 0));
    try(syscall(SYS_recvfrom, 0, two, 8, 0, 0, 0));
    try(writev(v[0], (struct iovec[]){{"one ", 4}, {"datagram", 8}}, 2));
    try(readv(v[1], in, 2));
    try(readv(v[1], in, 2));
    try(write(v[0], "", 0));
    try(recv(v[1], two, 8, MSG_DONTWAIT));
    try(recv(v[1], two, 8, MSG_DONTWAIT));
    int files = open("/proc/self/exe", O_RDONLY);
    try(sendto(files, "x", 1, 0, 0, 0));
    try(lseek(v[0], 0, SEEK_CUR));
    return 0;
}
