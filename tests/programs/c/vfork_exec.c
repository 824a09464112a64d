/* Does a vfork child use its parent's memory, with the parent asleep until it exits or execs? */
#include "say.h"

int main(int argc, char **argv)
{
    static volatile int shared;
    if (argc > 1) {
        say("new program\n");
        return 12;
    }
    pid_t child = vfork();
    if (child == 0) {
        for (volatile int i = 0; i < 100000; i++)
            ;
        shared = 5;
        _exit(3);
    }
    say("parent wakes, shared %d\n", shared);
    wait_and_say("child", child);
    char *args[] = {argv[0], "again", 0};
    child = vfork();
    if (child == 0) {
        execv(argv[0], args);
        _exit(99);
    }
    wait_and_say("exec", child);
    child = vfork();
    if (child == 0) {
        execv("/no/such/file", args);
        shared = errno;
        _exit(4);
    }
    say("failed exec: errno %d\n", shared);
    wait_and_say("failed", child);
    return 0;
}
