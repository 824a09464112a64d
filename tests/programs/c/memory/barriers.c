/* Which commands of membarrier(2) need registering, who inherits that, and what are their errors? */
#include "say.h"

#ifndef SYS_membarrier
#define SYS_membarrier 324
#endif
#define barrier(command, flags) syscall(SYS_membarrier, command, flags, 0)

int main(void)
{
    say("the usual ones are there: %d\n", (int)(barrier(0, 0) & 0x7f) == 0x7f);
    try(barrier(8, 0));
    try(barrier(32, 0));
    try(barrier(1, 0));
    try(barrier(2, 0));
    try(barrier(4, 0));
    try(barrier(16, 0));
    try(barrier(8, 0));
    try(barrier(32, 0));
    try(barrier(64, 0));
    try(barrier(32, 0));
    try(barrier(8, 1));
    try(barrier(3, 0));
    try(barrier(1 << 20, 0));
    try(barrier(-1, 0));
    pid_t child = fork();
    if (!child)
        _exit(barrier(8, 0) ? errno : 0);
    wait_and_say("child", child);
    return 0;
}
