/* Which process groups and sessions may be made and joined? */
#include "say.h"

int main(void)
{
    int gate[2];
    if (pipe(gate))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(gate[1]);
        read(gate[0], &byte, 1);
        try(setsid() == -1);
        say("leader: %d\n", getsid(0) == getpid() && getpgrp() == getpid());
        try(setpgid(0, 0));
        try(setsid());
        _exit(0);
    }
    say("inherits: %d\n", getpgid(child) == getpgrp() && getsid(child) == getsid(0));
    try(setpgid(child, child));
    say("own group: %d\n", getpgid(child) == child);
    try(setpgid(child, getpgrp()));
    try(setpgid(child, 4000000));
    try(setpgid(4000000, 0));
    try(setpgid(child, -1));
    try(getpgid(4000000));
    try(getsid(4000000));
    close(gate[1]);
    wait_and_say("child", child);
    return 0;
}
