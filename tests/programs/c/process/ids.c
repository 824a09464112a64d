/* What do setuid(2) and its kin allow with and without privilege, and what becomes of the capabilities? */
#include "say.h"
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

/* As in linux/capability.h, which not every C library comes with. */
#define VERSION_3 0x20080522
struct header {
    unsigned version;
    int pid;
};
struct sets {
    unsigned effective, permitted, inheritable;
};

static void show(const char *when)
{
    uid_t r, e, s;
    gid_t gr, ge, gs;
    getresuid(&r, &e, &s);
    getresgid(&gr, &ge, &gs);
    struct header header = {VERSION_3, 0};
    struct sets data[2];
    memset(data, 0, sizeof data);
    syscall(SYS_capget, &header, data);
    say("%s: uid %d %d %d fs %d gid %d %d %d fs %d, may setuid %d %d, dumpable %d\n", when, r, e, s,
        (int)syscall(SYS_setfsuid, -1), gr, ge, gs, (int)syscall(SYS_setfsgid, -1), data[0].effective >> 7 & 1,
        data[0].permitted >> 7 & 1, prctl(PR_GET_DUMPABLE) == 1);
}

static void as_child(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    wait_and_say("child", child);
}

/* The system calls themselves: the libraries' functions are about all threads. */
#define setuid(a) syscall(SYS_setuid, a)
#define setgid(a) syscall(SYS_setgid, a)
#define setreuid(a, b) syscall(SYS_setreuid, a, b)
#define setregid(a, b) syscall(SYS_setregid, a, b)
#define setresuid(a, b, c) syscall(SYS_setresuid, a, b, c)
#define setresgid(a, b, c) syscall(SYS_setresgid, a, b, c)

static void forever(void)
{
    try(setgid(200));
    try(setuid(100));
    show("setuid");
    try(setuid(0));
    try(setgid(0));
    try(setreuid(-1, 0));
    try(setresuid(100, 100, 0));
    try(setresuid(-1, -1, -1));
    try(setuid(-1));
}

static void for_a_while(void)
{
    try(setresuid(-1, 100, -1));
    show("effective only");
    try(setreuid(100, 0));
    show("real away, effective back");
    try(setresuid(50, 60, 70));
    show("all different");
    try(setresuid(60, 70, 50));
    show("among themselves");
    try(setresuid(80, -1, -1));
    try(setreuid(50, 70));
    show("swapped");
    try(setreuid(61, -1));
    try(setuid(60));
    try(setuid(50));
    show("saved one");
}

static void saved(void)
{
    try(setresuid(100, 100, 0));
    show("root is saved");
    try(setuid(0));
    show("effective again");
    try(setregid(300, 400));
    show("groups");
    try(setresuid(100, 100, 100));
    try(setregid(400, 300));
    try(setregid(500, -1));
    try(setgid(400));
    show("groups swapped");
}

static void keep(void)
{
    try(prctl(PR_GET_KEEPCAPS));
    try(prctl(PR_SET_KEEPCAPS, 2));
    try(prctl(PR_SET_KEEPCAPS, 1));
    try(prctl(PR_GET_KEEPCAPS));
    try(setuid(100));
    show("kept");
    struct header header = {VERSION_3, 0};
    struct sets data[2];
    syscall(SYS_capget, &header, data);
    data[0].effective = data[0].permitted & 1 << 7;
    data[0].permitted &= 1 << 7 | 1 << 6;
    data[1].effective = data[1].permitted = 0;
    try(syscall(SYS_capset, &header, data));
    show("raised");
    data[0].permitted |= 1 << 5;
    try(syscall(SYS_capset, &header, data));
    data[0].permitted = 0;
    try(syscall(SYS_capset, &header, data));
    data[0].effective = 0;
    try(syscall(SYS_capset, &header, data));
    show("gone");
    header.version = 1;
    try(syscall(SYS_capget, &header, data));
    say("version %x\n", header.version);
    header.pid = -1;
    try(syscall(SYS_capget, &header, data));
    header.pid = 0x3ffffff;
    try(syscall(SYS_capget, &header, data));
    try(syscall(SYS_capset, &header, data));
    try(syscall(SYS_capget, 8, data));
}

static void groups(void)
{
    gid_t list[] = {30, 10, 20, 10}, got[8];
    try(syscall(SYS_setgroups, 4, list));
    try(getgroups(0, 0));
    try(getgroups(3, got));
    try(getgroups(-1, got));
    try(getgroups(8, got));
    say("%d %d %d %d\n", got[0], got[1], got[2], got[3]);
    try(syscall(SYS_setgroups, 70000, list));
    try(syscall(SYS_setgroups, 4, 8));
    try(syscall(SYS_setgroups, -1, list));
    setresuid(100, 100, 100);
    try(syscall(SYS_setgroups, 1, list));
    try(getgroups(0, 0));
}

static void files(void)
{
    int fd = open("/tmp/cr3lab-ids", O_CREAT | O_TRUNC | O_RDWR, 0600);
    fchown(fd, 100, 100);
    setresgid(100, 100, 100);
    try(setresuid(0, 200, 0));
    try(open("/tmp/cr3lab-ids", O_RDONLY) >= 0);
    try(access("/tmp/cr3lab-ids", R_OK)); /* asks for the real user */
    try(faccessat(AT_FDCWD, "/tmp/cr3lab-ids", R_OK, AT_EACCESS));
    try(setresuid(-1, 0, -1));
    try(setfsuid(200));
    try(open("/tmp/cr3lab-ids", O_RDONLY) >= 0);
    try(setfsuid(100));
    try(open("/tmp/cr3lab-ids", O_RDONLY) >= 0);
    try(setfsuid(0));
    try(unlink("/tmp/cr3lab-ids"));
}

int main(void)
{
    show("at first");
    as_child(forever);
    as_child(for_a_while);
    as_child(saved);
    as_child(keep);
    as_child(groups);
    as_child(files);
    return 0;
}
