/* Do parent, child and grandchild each keep their own data, bss, heap, stack and anonymous mapping? */
#include "say.h"

static int data = 1;
static int bss;
static int *heap, *mapped;

static void show(const char *who, int local)
{
    say("%s sees %d %d %d %d %d\n", who, data, bss, *heap, *mapped, local);
}

static void change(volatile int *local, int value)
{
    data = bss = *heap = *mapped = *local = value;
}

int main(void)
{
    volatile int local = 1;
    heap = malloc(sizeof *heap);
    mapped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    change(&local, 1);
    pid_t child = fork();
    if (child == 0) {
        show("child", local);
        change(&local, 2);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            show("grandchild", local);
            change(&local, 3);
            show("grandchild", local);
            return 3;
        }
        wait_and_say("grandchild", grandchild);
        show("child", local);
        return 2;
    }
    wait_and_say("child", child);
    show("parent", local);
    return 0;
}
