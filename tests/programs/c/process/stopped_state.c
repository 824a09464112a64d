/* Does /proc/PID/stat say T of a stopped process, whatever it was doing, and Z of one that has ended? */
#include "say.h"

static char state_of(pid_t pid)
{
    char path[40], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    line[n > 0 ? n : 0] = 0;
    char *end = strrchr(line, ')');
    return end ? end[2] : '-';
}

static void until(pid_t pid, char wanted)
{
    while (state_of(pid) != wanted)
        rest(1);
    say("%c\n", wanted);
}

int main(void)
{
    int ends[2], status;
    char byte;
    pipe(ends);
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (child == 0) {
            if (kind == 0)
                read(ends[0], &byte, 1);
            if (kind == 1)
                rest(60000);
            for (;;)
                ;
        }
        if (kind < 2)
            until(child, 'S');
        kill(child, SIGSTOP);
        until(child, 'T');
        kill(child, SIGCONT);
        until(child, kind < 2 ? 'S' : 'R');
        kill(child, SIGSTOP);
        waitpid(child, &status, WUNTRACED);
        kill(child, SIGKILL);
        until(child, 'Z');
        wait_and_say("child", child);
        say("gone %c\n", state_of(child));
    }
    return 0;
}
