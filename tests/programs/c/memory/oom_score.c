/* What may be written to oom_score_adj, who inherits it, and does oom_score follow? */
#include "say.h"

static int adjust(const char *text)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    int result = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int read_number(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    return atoi(text);
}

int main(void)
{
    try(adjust("0"));
    say("score near the middle: %d\n", read_number("/proc/self/oom_score") / 50 * 50);
    try(adjust("300\n"));
    say("%d\n", read_number("/proc/self/oom_score_adj"));
    say("score above: %d\n", read_number("/proc/self/oom_score") / 50 * 50);
    try(adjust("1001"));
    try(adjust("-1001"));
    try(adjust("x"));
    try(adjust(" 0x10 "));
    say("%d\n", read_number("/proc/self/oom_score_adj"));
    try(adjust("1000"));
    pid_t child = fork();
    if (!child)
        _exit(read_number("/proc/self/oom_score_adj") == 1000 ? 7 : 8);
    wait_and_say("child", child);
    return 0;
}
