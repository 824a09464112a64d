/* What do the sched_* calls and nice values keep, refuse and inherit? */
#include "say.h"
#include <sched.h>
#include <sys/resource.h>

#define setscheduler(pid, policy, param) syscall(SYS_sched_setscheduler, pid, policy, param)
#define getscheduler(pid) syscall(SYS_sched_getscheduler, pid)

int main(void)
{
    struct sched_param zero = {0}, ten = {10}, hundred = {100}, got;
    for (int policy = -1; policy <= 6; policy++)
        say("%d: %ld %ld\n", policy, syscall(SYS_sched_get_priority_min, policy), syscall(SYS_sched_get_priority_max, policy));
    try(getscheduler(0));
    try(getscheduler(-1));
    try(getscheduler(0x3ffffff));
    try(setscheduler(0, SCHED_OTHER, &ten));
    try(setscheduler(0, SCHED_FIFO, &zero));
    try(setscheduler(0, SCHED_FIFO, &hundred));
    try(setscheduler(0, 77, &zero));
    try(setscheduler(0, SCHED_OTHER, 0));
    try(setscheduler(0, SCHED_OTHER, 8));
    try(setscheduler(0, SCHED_BATCH, &zero));
    try(getscheduler(0));
    try(syscall(SYS_sched_getparam, 0, &got));
    try(syscall(SYS_sched_getparam, 0, 0));
    try(syscall(SYS_sched_setparam, 0, &ten));
    pid_t child = fork();
    if (child == 0) {
        try(getscheduler(0));
        try(nice(5));
        try(getpriority(PRIO_PROCESS, 0));
        try(setpriority(PRIO_PROCESS, 0, 100));
        try(getpriority(PRIO_PROCESS, 0));
        syscall(SYS_setresuid, 100, 100, 100);
        try(setpriority(PRIO_PROCESS, 0, 0));
        try(setscheduler(getppid(), SCHED_OTHER, &zero));
        _exit(0);
    }
    wait_and_say("child", child);
    try(setscheduler(0, SCHED_OTHER | 0x40000000, &zero));
    try(getscheduler(0));
    try(getpriority(7, 0));
    try(setpriority(PRIO_PROCESS, 0x3ffffff, 0));
    unsigned long mask[16] = {1};
    try(syscall(SYS_sched_setaffinity, 0, 8, mask));
    mask[0] = 0;
    try(syscall(SYS_sched_setaffinity, 0, 8, mask));
    try(syscall(SYS_sched_setaffinity, 0, 8, 8));
    try(syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) > 0);
    say("%lu\n", mask[0]);
    try(syscall(SYS_sched_getaffinity, 0, 1, mask));
    try(syscall(SYS_sched_getaffinity, 0x3ffffff, sizeof mask, mask));
    try(sched_yield());
    return 0;
}
