/* Do all three ways to make a region keep the promises of sfork? Arguments: mmap, file or shm, and what to try.
 *
 * The functions are those of sfork.h, or with FROM_ASSEMBLY those of sfork.inc.
 */
#include "../c/say.h"
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#ifdef FROM_ASSEMBLY
#include "cr3lab.h"
long sfork_mmap(unsigned long len, unsigned flags, void **addr);
long sfork_file(unsigned long len, unsigned flags, void **addr);
long sfork_shm(unsigned long len, unsigned flags, void **addr, int *id);
long sfork_shm_end(void *addr, int id);
#else
#include "sfork.h"
#endif

#define PAGE 4096
#define LEN 10000 /* three pages, the last one not whole */

static const char *kind;
static int shm_id = -1, *id_wanted = &shm_id;

static long make(unsigned long len, unsigned flags, void **addr)
{
    if (!strcmp(kind, "mmap"))
        return sfork_mmap(len, flags, addr);
    if (!strcmp(kind, "file"))
        return sfork_file(len, flags, addr);
    return sfork_shm(len, flags, addr, id_wanted);
}

static void end(void *addr)
{
    if (!strcmp(kind, "shm"))
        say("end %ld\n", sfork_shm_end(addr, shm_id));
    else
        try(munmap(addr, 3 * PAGE));
}

/* What a call that did nothing leaves as it was. */
struct state {
    int maps, descriptor, segments, temporary;
};

static struct state state(void)
{
    struct state s = {0, 0, 0, 0};
    struct shm_info info;
    char text[16384];
    int fd = open("/proc/self/maps", O_RDONLY);
    for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            s.maps += text[i] == '\n';
    close(fd);
    s.descriptor = dup(0);
    close(s.descriptor);
    shmctl(0, SHM_INFO, (void *)&info);
    s.segments = info.used_ids;
    DIR *tmp = opendir("/tmp");
    for (struct dirent *entry; (entry = readdir(tmp));)
        s.temporary += !strncmp(entry->d_name, "sfork-", 6);
    closedir(tmp);
    return s;
}

static void say_same(struct state a)
{
    struct state b = state();
    say("maps %+d descriptors %+d segments %+d files %+d\n", b.maps - a.maps, b.descriptor - a.descriptor,
        b.segments - a.segments, b.temporary - a.temporary);
}

static void refuse(void)
{
    void *addr = (void *)0x77;
    state(); /* the C library allocates for the first directory */
    struct state before = state();
    say("len 0: %ld\n", make(0, CHILD_WRITE | PARENT_WRITE, &addr));
    say("no addr: %ld\n", make(LEN, CHILD_WRITE | PARENT_WRITE, 0));
    say("no writer: %ld\n", make(LEN, 0, &addr));
    say("no writer: %ld\n", make(LEN, SFORK_POPULATE, &addr));
    say("unknown: %ld\n", make(LEN, CHILD_WRITE | 8, &addr));
    say("unknown: %ld\n", make(LEN, CHILD_WRITE | 1u << 31, &addr));
    say("too long: %d\n", make(1UL << 62, CHILD_WRITE, &addr) < 0);
    say("addr %p, id %d\n", addr, shm_id);
    try(waitpid(-1, 0, WNOHANG));
    say_same(before);
}

static void both(void)
{
    void *addr = 0;
    int private = 1, up[2], down[2];
    char c;
    pipe(up), pipe(down);
    struct state before = state();
    long pid = make(LEN, CHILD_WRITE | PARENT_WRITE, &addr);
    volatile int *p = addr;
    if (pid == 0) {
        say("child: aligned %d, zero %d\n", !((long)addr & (PAGE - 1)), !p[0] && !p[3 * PAGE / 4 - 1]);
        private = 2;
        write(up[1], &addr, sizeof addr);
        p[0] = 10;
        p[PAGE / 4] = 20;
        write(up[1], "x", 1);
        read(down[0], &c, 1);
        say("child: sees %d\n", p[PAGE / 2]);
        _exit(p[PAGE / 2] == 30 ? 3 : 4);
    }
    void *theirs;
    read(up[0], &theirs, sizeof theirs);
    read(up[0], &c, 1);
    say("parent: same address %d, sees %d and %d, private %d\n", theirs == addr, p[0], p[PAGE / 4], private);
    p[PAGE / 2] = 30;
    write(down[1], "x", 1);
    int status;
    say("parent: pid %d\n", waitpid(pid, &status, 0) == pid);
    say_status("child", status);
    end(addr);
    say_same(before);
}

static sigjmp_buf out;

static void caught(int signo, siginfo_t *info, void *context)
{
    (void)context;
    say("caught %d code %d\n", signo, info->si_code);
    siglongjmp(out, 1);
}

static void reader(const char *who, volatile char *p)
{
    while (p[0] != 'w')
        ;
    say("%s: reads %c%c\n", who, p[0], p[2 * PAGE]);
    if (!sigsetjmp(out, 1))
        p[0] = 'r';
    try(mprotect((void *)p, 3 * PAGE, PROT_READ | PROT_WRITE));
    try(mprotect((void *)p, 3 * PAGE, PROT_READ));
    if (!sigsetjmp(out, 1))
        p[PAGE] = 'r';
    say("%s: still %c\n", who, p[0]);
}

static void writer(volatile char *p)
{
    p[2 * PAGE] = '2';
    p[0] = 'w';
}

static void one(unsigned flags)
{
    void *addr = 0;
    int go[2];
    char c;
    pipe(go);
    on(SIGSEGV, caught, 0);
    struct state before = state();
    long pid = make(LEN, flags, &addr);
    if (pid == 0) {
        if (flags & CHILD_WRITE)
            writer(addr);
        else
            reader("child", addr);
        write(go[1], "x", 1);
        read(go[0], &c, 0);
        _exit(((char *)addr)[0] == 'w' ? 0 : 1);
    }
    if (flags & PARENT_WRITE)
        writer(addr);
    else
        reader("parent", addr);
    read(go[0], &c, 1);
    wait_and_say("child", pid);
    end(addr);
    say_same(before);
}

/* No fork succeeds any more: natively by a filter; the lab has none, there the test itself sees to it. */
static void no_fork(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    void *addr = (void *)0x77;
    state();
    struct state before = state();
    for (unsigned flags = 1; flags < 8; flags++)
        if (flags & 3) {
            long pid = make(LEN, flags, &addr);
            if (pid == 0)
                _exit(0);
            say("%u: %ld, addr %p\n", flags, pid, addr);
        }
    say_same(before);
}

/* Both sides touch every page after the call. */
static void touch(unsigned flags)
{
    void *addr = 0;
    long pid = make(LEN, flags, &addr);
    int sum = 0;
    for (int page = 0; page < 3; page++)
        sum += ((volatile char *)addr)[page * PAGE];
    if (pid == 0)
        _exit(sum);
    wait_and_say("child", pid);
    end(addr);
}

static void unnamed(void)
{
    void *addr = 0;
    struct shmid_ds ds;
    struct state before = state();
    id_wanted = 0;
    long pid = make(LEN, CHILD_WRITE | PARENT_WRITE, &addr);
    if (pid == 0) {
        ((char *)addr)[0] = 7;
        _exit(0);
    }
    wait_and_say("child", pid);
    say("wrote %d, id %d\n", ((char *)addr)[0], shm_id);
    try(shmdt(addr));
    say_same(before);
    id_wanted = &shm_id;
    pid = make(LEN, CHILD_WRITE | PARENT_WRITE, &addr);
    if (pid == 0) {
        say("child ends %ld\n", sfork_shm_end(addr, shm_id));
        _exit(0);
    }
    wait_and_say("child", pid);
    try(shmctl(shm_id, IPC_STAT, &ds));
    say("marked %d, attached %ld\n", !!(ds.shm_perm.mode & 01000), (long)ds.shm_nattch);
    say("parent ends %ld\n", sfork_shm_end(addr, shm_id));
    try(shmctl(shm_id, IPC_STAT, &ds));
    say_same(before);
}

#ifndef FROM_ASSEMBLY
static void library(void)
{
    void *addr = 0;
    errno = 0;
    int result = sfork_library(0, CHILD_WRITE, &addr);
    say("refused: %d errno %d\n", result, errno);
    result = sfork_library(LEN, CHILD_WRITE, &addr);
    if (result == 0) {
        ((char *)addr)[0] = 5;
        _exit(0);
    }
    if (result == -1) {
        say("errno %d\n", errno);
        return;
    }
    wait_and_say("child", result);
    say("wrote %d\n", ((char *)addr)[0]);
}
#else
static void library(void) {}
#endif

int main(int argc, char **argv)
{
    if (argc != 3)
        return 9;
    kind = argv[1];
    switch (argv[2][0]) {
    case 'r': refuse(); break;
    case 'b': both(); break;
    case 'c': one(CHILD_WRITE); break;
    case 'p': one(PARENT_WRITE); break;
    case 'n': no_fork(); break;
    case 't': touch(CHILD_WRITE | PARENT_WRITE); break;
    case 'f': touch(CHILD_WRITE | PARENT_WRITE | SFORK_POPULATE); break;
    case 'u': unnamed(); break;
    case 'l': library(); break;
    }
    return 0;
}
