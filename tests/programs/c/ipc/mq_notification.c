/* When does mq_notify tell: the first message only, not while somebody waits, once, one process at a time? */
#include "say.h"
#include <mqueue.h>

static volatile int told;

static void handler(int signo, siginfo_t *info, void *context)
{
    told++;
    say("told: signal %d code %d value %d from %s\n", signo - SIGRTMIN, info->si_code, info->si_value.sival_int,
        info->si_pid == getpid() ? "me" : "another");
}

int main(void)
{
    char name[64], b[8192];
    sprintf(name, "/cr3lab-%d-notify", getpid());
    mqd_t q = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, 0);
    mq_unlink(name);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    event.sigev_value.sival_int = 42;
    on(SIGRTMIN + 3, handler, SA_RESTART);
    try(mq_notify(q, &event));
    try(mq_notify(q, &event));
    mq_send(q, "1", 1, 0);
    mq_send(q, "2", 1, 0);
    say("once %d\n", told);
    try(mq_notify(q, &event)); /* not empty: waits until it was */
    mq_send(q, "3", 1, 0);
    say("still %d\n", told);
    for (int i = 0; i < 3; i++)
        mq_receive(q, b, sizeof b, 0);
    pid_t child = fork();
    if (child == 0) {
        try(mq_notify(q, &event));
        mq_send(q, "from a child", 12, 0);
        _exit(0);
    }
    wait_and_say("child", child);
    say("twice %d\n", told);
    mq_receive(q, b, sizeof b, 0);
    try(mq_notify(q, &event));
    try(mq_notify(q, 0));
    mq_send(q, "4", 1, 0);
    mq_receive(q, b, sizeof b, 0);
    say("withdrawn %d\n", told);
    event.sigev_notify = SIGEV_NONE;
    try(mq_notify(q, &event));
    mq_send(q, "5", 1, 0);
    event.sigev_notify = 77;
    try(mq_notify(q, &event));
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = 99;
    try(mq_notify(q, &event));
    try(mq_notify(0, 0));
    return 0;
}
