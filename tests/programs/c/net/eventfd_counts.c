/* How does an eventfd count: sum, semaphore, overflow, waiting writer, poll? */
#include "say.h"
#include <poll.h>
#include <sys/eventfd.h>

static void poll_it(int fd)
{
    struct pollfd set = {fd, POLLIN | POLLOUT, 0};
    int ready = poll(&set, 1, 0);
    say("poll %d %x\n", ready, set.revents);
}

static void take(int fd)
{
    unsigned long long value = 99;
    ssize_t n = read(fd, &value, 8);
    if (n == 8)
        say("read %llu\n", value);
    else
        say("read: errno %d\n", errno);
}

static void put(int fd, unsigned long long value)
{
    if (write(fd, &value, 8) != 8)
        say("write: errno %d\n", errno);
}

int main(void)
{
    int sum = eventfd(5, EFD_NONBLOCK), one = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    poll_it(sum);
    put(sum, 7);
    take(sum);
    take(sum);
    poll_it(sum);
    take(one);
    take(one);
    take(one);
    put(sum, 0xfffffffffffffffeull);
    poll_it(sum);
    put(sum, 1);
    put(sum, 0xffffffffffffffffull);
    char small[4];
    try(read(sum, small, 4));
    try(write(sum, small, 4));
    try(eventfd(0, 1 << 10));
    say("cloexec %d\n", fcntl(one, F_GETFD));
    try(lseek(sum, 0, SEEK_SET));
    try(pread(sum, small, 4, 0));

    int waits = eventfd(0, 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 1; i <= 3; i++) {
            put(waits, i);
            take(sum); /* fails: the parent holds the count at its limit */
        }
        _exit(0);
    }
    wait_and_say("child", child);
    take(waits);
    return 0;
}
