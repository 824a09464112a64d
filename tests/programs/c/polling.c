/* What do poll and select report: nothing, data, hang-up, a bad descriptor, a timeout? */
#include "say.h"
#include <poll.h>
#include <sys/select.h>

int main(void)
{
    int ends[2];
    if (pipe(ends))
        return 1;
    struct pollfd set[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {99, POLLIN, 0}, {-1, POLLIN, 0}};
    try(poll(set, 1, 0));
    try(poll(set, 1, 5));
    try(poll(set, 4, -1));
    say("%x %x %x %x\n", set[0].revents, set[1].revents, set[2].revents, set[3].revents);
    write(ends[1], "x", 1);
    try(poll(set, 1, -1));
    say("%x\n", set[0].revents);
    fd_set reads;
    FD_ZERO(&reads);
    FD_SET(ends[0], &reads);
    struct timeval none = {0, 0};
    try(select(ends[0] + 1, &reads, 0, 0, &none));
    char byte;
    read(ends[0], &byte, 1);
    pid_t child = fork();
    if (child == 0) {
        rest(5);
        write(ends[1], "y", 1);
        _exit(0);
    }
    try(poll(set, 1, 60000));
    read(ends[0], &byte, 1);
    wait_and_say("child", child);
    close(ends[1]);
    try(poll(set, 1, -1));
    say("hang-up %x\n", set[0].revents);
    return 0;
}
