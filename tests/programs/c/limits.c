/* Do resource limits hold, report, refuse and reach children: descriptors, address space, file size of the stack? */
#include "say.h"
#include <sys/resource.h>

int main(void)
{
    struct rlimit limit, old;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 20;
    try(setrlimit(RLIMIT_NOFILE, &limit));
    int fd, last = -1;
    while ((fd = dup(0)) >= 0)
        last = fd;
    say("last descriptor %d, errno %d\n", last, errno);
    try(dup2(0, 20));
    for (fd = 3; fd <= last; fd++)
        close(fd);
    getrlimit(RLIMIT_AS, &old);
    limit = (struct rlimit){64 << 20, old.rlim_max};
    try(setrlimit(RLIMIT_AS, &limit));
    say("too much: %d", mmap(0, 100 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    say(" errno %d\n", errno);
    say("malloc: %d\n", malloc(100 << 20) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit mine;
        getrlimit(RLIMIT_AS, &mine);
        _exit(mine.rlim_cur >> 20);
    }
    wait_and_say("child's limit in MiB", child);
    setrlimit(RLIMIT_AS, &old);
    say("enough: %d\n", mmap(0, 100 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    limit = (struct rlimit){10, 5};
    try(setrlimit(RLIMIT_CORE, &limit));
    try(getrlimit(99, &limit));
    try(syscall(SYS_prlimit64, 0, RLIMIT_STACK, 0, &limit));
    try(syscall(SYS_prlimit64, 4000000, RLIMIT_STACK, 0, &limit));
    try(setrlimit(RLIMIT_CORE, (void *)8));
    return 0;
}
