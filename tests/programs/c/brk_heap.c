/* How does the program break move: grow, shrink (zeros when it grows again), refuse, inherit? */
#include "say.h"

int main(void)
{
    char *start = sbrk(0);
    say("grow: %d\n", sbrk(10000) == start);
    say("zeros: %d %d\n", start[0], start[9999]);
    memset(start, 'x', 10000);
    say("shrink: %d\n", sbrk(-10000) == start + 10000);
    say("grow again: %d", sbrk(20000) == start);
    say(", %d %d\n", start[8192], start[19999]);
    say("absolute: %d\n", syscall(SYS_brk, start + 5000) == (long)(start + 5000));
    say("below the start: %d\n", syscall(SYS_brk, (char *)8) == (long)(start + 5000));
    say("absurd: %d\n", syscall(SYS_brk, (char *)0x7fffffff0000) == (long)(start + 5000));
    start[100] = 'p';
    pid_t child = fork();
    if (child == 0) {
        say("child: %d %c\n", sbrk(0) == start + 5000, start[100]);
        sbrk(1 << 20);
        start[1 << 20] = 1;
        start[100] = 'c';
        _exit(0);
    }
    wait_and_say("child", child);
    say("parent: %d %c\n", sbrk(0) == start + 5000, start[100]);
    return 0;
}
