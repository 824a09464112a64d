/* What may process_madvise(2) do to its own process and to another, and what does it return? */
#include "say.h"

#define PAGE 4096
#define advise(fd, vector, count, advice, flags) syscall(440, fd, vector, count, advice, flags)

int main(void)
{
    char *p = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 4 * PAGE);
    munmap(p + 3 * PAGE, PAGE);
    int self = syscall(434, getpid(), 0), plain = open("/dev/null", O_RDONLY);
    struct iovec two[2] = {{p, PAGE}, {p + PAGE, PAGE}}, hole[2] = {{p, PAGE}, {p + 2 * PAGE, 2 * PAGE}}, odd = {p + 1, PAGE};
    try(advise(self, two, 2, MADV_COLD, 0));
    try(advise(self, two, 2, MADV_WILLNEED, 0));
    try(advise(self, hole, 2, MADV_WILLNEED, 0));
    try(advise(self, hole + 1, 1, MADV_WILLNEED, 0));
    try(advise(self, &odd, 1, MADV_COLD, 0));
    try(advise(self, two, 0, MADV_COLD, 0));
    try(advise(self, two, 2, MADV_COLD, 1));
    try(advise(self, two, 2, 1000, 0));
    try(advise(self, two, 2000, MADV_COLD, 0));
    try(advise(self, (void *)8, 1, MADV_COLD, 0));
    try(advise(plain, two, 2, MADV_COLD, 0));
    try(advise(-1, two, 2, MADV_COLD, 0));
    pid_t child = fork();
    if (!child)
        for (;;)
            pause();
    int other = syscall(434, child, 0);
    try(advise(other, two, 2, MADV_COLD, 0));
    try(advise(other, two, 2, MADV_DONTNEED, 0));
    try(advise(other, two, 2, MADV_PAGEOUT, 0));
    kill(child, SIGKILL);
    wait_and_say("child", child);
    try(advise(other, two, 2, MADV_COLD, 0));
    say("content: %d\n", p[PAGE]);
    return 0;
}
