/* How do POSIX message queues order, limit and wait: priorities, sizes, times, non-blocking, names? */
#include "say.h"
#include <mqueue.h>
#include <poll.h>

int main(void)
{
    char name[64], other[64], b[8192];
    struct mq_attr attr = {0, 3, 16, 0}, now, bad = {0, 0, 16, 0};
    unsigned priority;
    sprintf(name, "/cr3lab-%d", getpid());
    sprintf(other, "/cr3lab-%d-other", getpid());
    try(mq_open(name, O_RDWR));
    try(mq_open(name, O_CREAT | O_RDWR, 0600, &bad));
    mqd_t q = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    say("open %d cloexec %d\n", q >= 0, fcntl(q, F_GETFD));
    try(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    try(mq_send(q, "low", 3, 1));
    try(mq_send(q, "high", 4, 9));
    try(mq_send(q, "low again", 9, 1));
    mq_getattr(q, &now);
    say("flags %ld max %ld size %ld now %ld\n", now.mq_flags, now.mq_maxmsg, now.mq_msgsize, now.mq_curmsgs);
    struct pollfd set = {q, POLLIN | POLLOUT, 0};
    poll(&set, 1, 0);
    say("poll %x\n", set.revents);
    struct timespec past = {0, 0}, wrong = {0, -1};
    try(mq_timedsend(q, "x", 1, 0, &past));
    try(mq_timedsend(q, "x", 1, 0, &wrong));
    try(mq_send(q, "seventeen bytes ..", 17, 0));
    try(mq_send(q, "x", 1, 32768));
    try(mq_receive(q, b, 15, &priority));
    for (int i = 0; i < 3; i++) {
        ssize_t n = mq_receive(q, b, sizeof b, &priority);
        say("%zd \"%.*s\" priority %u\n", n, (int)n, b, priority);
    }
    try(mq_timedreceive(q, b, sizeof b, 0, &past));
    attr.mq_flags = O_NONBLOCK;
    try(mq_setattr(q, &attr, &now));
    try(mq_receive(q, b, sizeof b, 0));
    attr.mq_flags = O_APPEND;
    try(mq_setattr(q, &attr, 0));
    attr.mq_flags = 0;
    mq_setattr(q, &attr, &now);
    say("was nonblocking %d\n", now.mq_flags == O_NONBLOCK);

    pid_t child = fork();
    if (child == 0) { /* a receiver that waits gets the first message, whatever its priority */
        ssize_t n = mq_receive(q, b, sizeof b, &priority);
        say("child %.*s %u\n", (int)n, b, priority);
        _exit(0);
    }
    rest(10);
    mq_send(q, "first", 5, 0);
    mq_send(q, "second", 6, 5);
    wait_and_say("child", child);
    mq_send(q, "a", 1, 0), mq_send(q, "b", 1, 0);
    child = fork();
    if (child == 0) {
        try(mq_send(q, "waits", 5, 0));
        _exit(0);
    }
    rest(10);
    say("%zd\n", mq_receive(q, b, sizeof b, 0));
    wait_and_say("sender", child);
    mqd_t only = mq_open(name, O_WRONLY);
    try(mq_receive(only, b, sizeof b, 0));
    try(mq_send(0, "x", 1, 0));
    try(write(q, "x", 1));
    try(mq_unlink(other));
    try(mq_unlink(name));
    try(mq_open(name, O_RDWR));
    try(mq_receive(q, b, sizeof b, 0)); /* it lives while it is open */
    try(mq_close(q));
    try(mq_send(q, "x", 1, 0));
    try(mq_open("/", O_CREAT | O_RDWR, 0600, 0));
    try(mq_open("/a/b", O_CREAT | O_RDWR, 0600, 0));
    mqd_t def = mq_open(other, O_CREAT | O_RDONLY | O_NONBLOCK, 0600, 0);
    mq_getattr(def, &now);
    say("default %ld %ld %ld\n", now.mq_flags & O_NONBLOCK, now.mq_maxmsg, now.mq_msgsize);
    try(mq_unlink(other));
    return 0;
}
