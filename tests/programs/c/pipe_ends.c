/* What do the two ends of a pipe see: EOF, EPIPE and SIGPIPE, a full pipe, short reads? */
#include "say.h"

int main(void)
{
    int ends[2];
    char buffer[100];
    static char big[70000];
    try(pipe(ends));
    try(write(ends[1], "abcdef", 6));
    try(read(ends[0], buffer, 4));
    try(read(ends[0], buffer, 100));
    try(write(ends[0], "x", 1));
    try(read(ends[1], buffer, 1));
    try(lseek(ends[0], 0, SEEK_SET));
    close(ends[1]);
    try(read(ends[0], buffer, 1));
    close(ends[0]);
    try(read(ends[0], buffer, 1));
    pipe2(ends, O_NONBLOCK);
    try(read(ends[0], buffer, 1));
    try(fcntl(ends[1], F_GETPIPE_SZ));
    try(write(ends[1], big, sizeof big));
    try(write(ends[1], "x", 1));
    try(read(ends[0], big, 8192)); /* whole pages: Linux counts slots, the lab bytes */
    try(write(ends[1], big, 4096));
    try(write(ends[1], big, 4096));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    try(write(ends[1], "x", 1));
    signal(SIGPIPE, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        write(ends[1], "x", 1);
        _exit(0);
    }
    wait_and_say("writer", child);
    return 0;
}
