/* Which calls go on after a handler with SA_RESTART, and which fail with EINTR either way? */
#include "say.h"
#include <poll.h>

static volatile int hits;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    hits++;
}

static void case_of(const char *name, int flags, int call)
{
    int ends[2];
    char byte = '-';
    long result = 0;
    if (pipe(ends))
        abort();
    hits = 0;
    on(SIGUSR1, handler, flags);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        rest(10);
        kill(parent, SIGUSR1);
        rest(10);
        write(ends[1], "w", 1);
        _exit(6);
    }
    errno = 0;
    struct pollfd waits = {ends[0], POLLIN, 0};
    struct timespec minute = {60, 0};
    int status = 0;
    switch (call) {
    case 0: result = read(ends[0], &byte, 1); break;
    case 1: result = waitpid(child, &status, 0) == child; break;
    case 2: result = poll(&waits, 1, 60000); break;
    case 3: result = nanosleep(&minute, &minute); break;
    case 4: result = pause(); break;
    case 5: result = clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, &minute); break;
    }
    say("%s: result %ld errno %d, handler ran %d, byte %c\n", name, result, errno, hits, byte);
    if (call == 3 || call == 5)
        say("  some of the minute is left: %d\n", minute.tv_sec >= 50 && minute.tv_sec < 60);
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        ;
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    case_of("read", 0, 0);
    case_of("read, SA_RESTART", SA_RESTART, 0);
    case_of("waitpid", 0, 1);
    case_of("waitpid, SA_RESTART", SA_RESTART, 1);
    case_of("poll", 0, 2);
    case_of("poll, SA_RESTART", SA_RESTART, 2);
    case_of("nanosleep", 0, 3);
    case_of("nanosleep, SA_RESTART", SA_RESTART, 3);
    case_of("pause", 0, 4);
    case_of("pause, SA_RESTART", SA_RESTART, 4);
    case_of("clock_nanosleep", 0, 5);
    return 0;
}
