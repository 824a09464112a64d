/* Which waits fail with EINTR when a stopped process goes on, though no handler ran? */
#include "say.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static void until(pid_t pid, char wanted)
{
    char path[40], line[512], *end;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    do {
        rest(1);
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, line, sizeof line - 1);
        close(fd);
        line[n > 0 ? n : 0] = 0;
        end = strrchr(line, ')');
    } while (!end || end[2] != wanted);
}

static void wait_in(int call, int in)
{
    struct epoll_event event;
    struct pollfd one = {in, POLLIN, 0};
    sigset_t set;
    long result = -9;
    char byte;
    int set_of_files = epoll_create1(0);
    event.events = EPOLLIN;
    epoll_ctl(set_of_files, EPOLL_CTL_ADD, in, &event);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    errno = 0;
    switch (call) {
    case 0: result = epoll_wait(set_of_files, &event, 1, -1); break;
    case 1: result = syscall(SYS_rt_sigtimedwait, &set, 0, 0, 8); break;
    case 2: result = poll(&one, 1, -1); break;
    case 3: result = read(in, &byte, 1); break;
    case 4: result = epoll_wait(set_of_files, &event, 1, 60000); break;
    }
    say("call %d: %ld errno %d\n", call, result, errno);
    _exit(0);
}

int main(void)
{
    int ends[2], status;
    for (int call = 0; call <= 4; call++) {
        pipe(ends);
        pid_t child = fork();
        if (child == 0)
            wait_in(call, ends[0]);
        until(child, 'S');
        kill(child, SIGSTOP);
        waitpid(child, &status, WUNTRACED);
        kill(child, SIGCONT);
        if (call == 2 || call == 3)
            write(ends[1], "w", 1);
        wait_and_say("child", child);
        close(ends[0]), close(ends[1]);
    }
    return 0;
}
