/* Whom may setpgid(2) and setsid(2) move where, and what do they say otherwise? */
#include "say.h"

static int ready[2], go[2], executing[2];

static pid_t start(int how)
{
    char byte;
    pid_t child = fork();
    if (child)
        return child;
    if (how == 1)
        setsid();
    if (how == 2) {
        execl("/proc/self/exe", "x", "wait", (char *)0);
    }
    write(ready[1], "r", 1);
    read(go[0], &byte, 1);
    _exit(0);
}

int main(int argc, char **argv)
{
    char byte;
    (void)argv;
    if (argc > 1)
        for (;;)
            pause();
    pid_t inner = fork();
    if (inner) /* a leader of a session, as some are started, could do less */
        return WEXITSTATUS(wait_and_say("inner", inner));
    setpgid(0, 0);
    pipe2(ready, O_CLOEXEC);
    pipe(go);
    pid_t one = start(0), leader = start(1), two;
    read(ready[0], &byte, 1);
    read(ready[0], &byte, 1);
    say("same group %d, same session %d\n", getpgid(one) == getpgrp(), getsid(one) == getsid(0));
    say("other group %d, other session %d\n", getpgid(leader) == leader, getsid(leader) == leader);
    try(setpgid(one, -1));
    try(setpgid(-1, 0));
    try(setpgid(0x3ffffff, 0));
    try(getpgid(0x3ffffff));
    try(getpgid(-1));
    try(getsid(0x3ffffff));
    try(setpgid(leader, 0));
    try(setpgid(one, leader));
    try(setpgid(one, 0x3ffffff));
    try(setpgid(one, one));
    say("moved %d\n", getpgid(one) == one);
    two = start(0);
    read(ready[0], &byte, 1);
    try(setpgid(two, one));
    say("moved %d\n", getpgid(two) == one);
    try(setpgid(0, one));
    say("me too %d\n", getpgrp() == one);
    try(setpgid(0, getpgid(getppid()) == 0 ? 1 : 0)); /* back to a group of its own */
    say("own again %d\n", getpgrp() == getpid());
    try(setsid()); /* refused to the leader of a group */
    pipe2(executing, O_CLOEXEC);
    pid_t executed = start(2);
    close(executing[1]);
    read(executing[0], &byte, 1); /* its end is closed: it has become another program */
    pid_t last = fork();
    if (last == 0) {
        try(setpgid(one, 0)); /* not its child */
        try(setpgid(getppid(), 0));
        say("session of its own %d\n", setsid() == getpid());
        try(setsid());
        try(setpgid(0, 0));
        _exit(0);
    }
    wait_and_say("last", last);
    try(setpgid(executed, 0));
    kill(executed, SIGKILL);
    kill(leader, SIGKILL);
    wait_and_say("executed", executed);
    kill(one, SIGKILL), kill(two, SIGKILL);
    waitpid(one, 0, 0), waitpid(two, 0, 0), waitpid(leader, 0, 0);
    try(kill(-one, 0)); /* the group is gone with its members */
    return 0;
}
