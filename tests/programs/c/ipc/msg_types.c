/* Which message does msgrcv take: by type, up to a type, except a type, cut off, too long; what is refused? */
/* checked once: it fills queues message by message */
#include "say.h"
#include <limits.h>
#include <sys/ipc.h>
#include <sys/msg.h>

static int queue;

static void put(long type, const char *text)
{
    struct {
        long type;
        char text[64];
    } message = {type, ""};
    strcpy(message.text, text);
    if (msgsnd(queue, &message, strlen(text), IPC_NOWAIT))
        say("send: errno %d\n", errno);
}

static void take(long type, int flags, size_t room)
{
    struct {
        long type;
        char text[64];
    } message = {0, ""};
    ssize_t n = msgrcv(queue, &message, room, type, flags | IPC_NOWAIT);
    if (n < 0)
        say("type %ld: errno %d\n", type, errno);
    else
        say("type %ld: %zd \"%.*s\" of type %ld\n", type, n, (int)n, message.text, message.type);
}

int main(void)
{
    queue = msgget(IPC_PRIVATE, 0600);
    take(0, 0, 64);
    put(3, "three"), put(1, "one"), put(2, "two"), put(1, "uno"), put(5, "");
    take(2, 0, 64);
    take(-2, 0, 64);
    take(3, MSG_EXCEPT, 64);
    take(9, 0, 64);
    take(0, 0, 3);
    take(0, MSG_NOERROR, 3);
    take(LONG_MIN, 0, 64);
    take(0, 0, 64);
    put(0, "zero"), put(-1, "negative");
    static struct {
        long type;
        char text[9000];
    } large = {1, ""};
    try(msgsnd(queue, &large, 8192, 0));
    try(msgsnd(queue, &large, 8193, 0));
    try(msgsnd(queue, &large, -1, 0));
    try(msgsnd(queue, &large, 8192, IPC_NOWAIT));
    try(msgsnd(queue, &large, 1, IPC_NOWAIT)); /* 16384 bytes are there */
    try(msgsnd(queue, &large, 0, IPC_NOWAIT));
    try(msgrcv(queue, &large, 9000, 0, 0));
    try(msgrcv(queue, &large, 8192, 0, 0));
    try(msgrcv(queue, &large, 8192, 0, 0));
    try(msgsnd(queue, (void *)8, 1, 0));
    put(1, "to nowhere");
    try(msgrcv(queue, (void *)8, 64, 0, IPC_NOWAIT));
    take(0, 0, 64);
    try(msgrcv(queue, &large, -1, 0, IPC_NOWAIT));
    try(msgrcv(-1, &large, 8, 0, IPC_NOWAIT));
    try(msgsnd(queue + 1, &large, 8, 0));
    int sent = 0;
    while (!msgsnd(queue, &large, 0, IPC_NOWAIT) && sent < 20000)
        sent++;
    say("empty messages %d, errno %d\n", sent, errno);
    try(msgctl(queue, IPC_RMID, 0));
    try(msgsnd(queue, &large, 8, 0));
    return 0;
}
