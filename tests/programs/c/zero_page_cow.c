/* Is memory that was only read before a fork still private to each side when written after it? */
#include "say.h"

int main(void)
{
    enum { pages = 64 };
    volatile char *area = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int sum = 0;
    for (int i = 0; i < pages; i++)
        sum += area[i * 4096];
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < pages; i += 2)
            area[i * 4096] = 1;
        for (int i = 0; i < pages; i++)
            sum += area[i * 4096];
        _exit(sum);
    }
    wait_and_say("child's sum", child);
    for (int i = 0; i < pages; i++)
        sum += area[i * 4096];
    say("parent's sum %d\n", sum);
    for (int i = 0; i < pages; i++)
        area[i * 4096] = 2;
    child = fork();
    if (child == 0) {
        munmap((void *)(area + 8192), 4096 * 10);
        area[0] = 3;
        _exit(area[0] + area[4096] + area[4096 * 20]);
    }
    wait_and_say("child", child);
    for (int i = sum = 0; i < pages; i++)
        sum += area[i * 4096];
    say("parent's sum %d\n", sum);
    return 0;
}
