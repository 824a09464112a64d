/* Who gets a message that several wait for, what do waiting senders and removed queues do, and what is told of it? */
#include "say.h"
#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
    long type;
    char text[8192];
};

static void nothing(int signo, siginfo_t *info, void *context)
{
}

int main(void)
{
    static struct message m;
    struct msqid_ds ds;
    int queue = msgget(0x4d000000 + getpid(), IPC_CREAT | IPC_EXCL | 0600), back = msgget(IPC_PRIVATE, 0600);
    pid_t child[3];
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            ssize_t n = msgrcv(queue, &m, 100, i == 2 ? 7 : 0, 0);
            m.text[0] = i, m.text[1] = n, m.type = 1;
            msgsnd(back, &m, 2, 0);
            _exit(0);
        }
        until_it_waits(child[i]); /* in this order */
    }
    m.type = 7;
    for (int i = 0; i < 3; i++) {
        struct message answer;
        msgsnd(queue, &m, 10 + i, 0);
        ssize_t n = msgrcv(back, &answer, 10, 0, 0);
        say("%zd: child %d got %d\n", n, answer.text[0], answer.text[1]);
    }
    for (int i = 0; i < 3; i++)
        wait_and_say("child", child[i]);
    msgctl(queue, IPC_STAT, &ds);
    say("empty %lu, sent by me %d, received by the last %d, limit %lu\n", (unsigned long)ds.msg_qnum,
        ds.msg_lspid == getpid(), ds.msg_lrpid == child[2], (unsigned long)ds.msg_qbytes);

    child[0] = fork();
    if (child[0] == 0) { /* has too little room for what comes first, and is told so */
        try(msgrcv(queue, &m, 1, 0, 0));
        _exit(0);
    }
    until_it_waits(child[0]);
    msgsnd(queue, &m, 5, 0);
    wait_and_say("short", child[0]);
    msgctl(queue, IPC_STAT, &ds);
    say("queued %lu\n", (unsigned long)ds.msg_qnum);

    while (!msgsnd(queue, &m, 4096, IPC_NOWAIT))
        ;
    child[0] = fork();
    if (child[0] == 0) {
        _exit(msgsnd(queue, &m, 4096, 0) == 0 ? 3 : 4);
    }
    until_it_waits(child[0]);
    say("room %zd\n", msgrcv(queue, &m, 8192, 0, 0));
    say("room %zd\n", msgrcv(queue, &m, 8192, 0, 0));
    wait_and_say("sender", child[0]);
    msgctl(queue, IPC_STAT, &ds);
    ds.msg_qbytes = 5000;
    try(msgctl(queue, IPC_SET, &ds));
    try(msgsnd(queue, &m, 1, IPC_NOWAIT));

    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            on(SIGUSR1, nothing, SA_RESTART);
            int got = i ? (int)msgrcv(queue, &m, 8192, 99, 0) : msgsnd(queue, &m, 1, 0);
            say("%s %d errno %d\n", i ? "receiver" : "sender", got, errno);
            _exit(0);
        }
    }
    until_it_waits(child[0]);
    until_it_waits(child[1]);
    kill(child[1], SIGUSR1);
    wait_and_say("interrupted", child[1]);
    msgctl(queue, IPC_RMID, 0);
    wait_and_say("removed", child[0]);
    try(msgctl(queue, IPC_STAT, &ds));
    msgctl(back, IPC_RMID, 0);
    return 0;
}
