/* Does a process whose parent has died get another parent, and go on? */
#include "say.h"

int main(void)
{
    int report[2], gate[2];
    char byte = 0;
    if (pipe(report) || pipe(gate))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        pid_t me = getpid();
        if (fork() == 0) {
            byte = getppid() == me ? 'y' : 'n';
            write(report[1], &byte, 1);
            read(gate[0], &byte, 1);
            byte = getppid() != me ? 'y' : 'n';
            write(report[1], &byte, 1);
            _exit(0);
        }
        _exit(4);
    }
    wait_and_say("child", child);
    read(report[0], &byte, 1);
    say("before: parent is the parent: %c\n", byte);
    write(gate[1], "x", 1);
    read(report[0], &byte, 1);
    say("after: parent is another: %c\n", byte);
    try(waitpid(-1, 0, 0));
    return 0;
}
