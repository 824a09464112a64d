// The measured work on the host itself: prints the nanoseconds each measured stretch took, one per line.
//
//   host syscall COUNT | cpu COUNT | touch BYTES | zero BYTES | cow BYTES | fork BYTES COUNT | forks BYTES COUNT
//        | switch COUNT
//
// Memory is in 4 KiB pages throughout (MADV_NOHUGEPAGE), as it is in the guest.
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void print(uint64_t nanoseconds) { printf("%llu\n", (unsigned long long)nanoseconds); }

static volatile char *map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("mmap");
    madvise(p, bytes, MADV_NOHUGEPAGE);
    return p;
}

static uint64_t write_pages(volatile char *p, size_t bytes) {
    uint64_t began = now();
    for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
    return now() - began;
}

static uint64_t read_pages(volatile char *p, size_t bytes) {
    uint64_t began = now();
    for (size_t i = 0; i < bytes; i += 4096) (void)p[i];
    return now() - began;
}

static void system_calls(long count) {
    uint64_t began = now();
    for (long i = 0; i < count; i++) syscall(SYS_getppid);
    print(now() - began);
}

// The loop of cpu_loop.asm: the compiler makes the same twelve instructions of it.
static void spin(long count) {
    uint64_t x = 88172645463325252ull, sum = 0, began = now();
    for (long i = 0; i < count; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += x;
    }
    volatile uint64_t used = sum;
    (void)used;
    print(now() - began);
}

static pid_t child(void) {
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    return pid;
}

static void copy_on_write(size_t bytes) {
    volatile char *p = map(bytes);
    write_pages(p, bytes);
    uint64_t *took = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (took == MAP_FAILED) fail("mmap");
    *took = 0;
    if (!child()) {
        *took = write_pages(p, bytes);
        _exit(0);
    }
    wait(NULL);
    print(*took);
    print(write_pages(p, bytes));
}

// Each fork, and each exit and wait, apart.
static void fork_apart(size_t bytes, long count) {
    write_pages(map(bytes), bytes);
    for (long i = 0; i < count; i++) {
        uint64_t began = now();
        if (!child()) _exit(0);
        uint64_t forked = now();
        wait(NULL);
        print(forked - began);
        print(now() - forked);
    }
}

static void fork_all(size_t bytes, long count) {
    write_pages(map(bytes), bytes);
    uint64_t began = now();
    for (long i = 0; i < count; i++) {
        if (!child()) _exit(0);
        wait(NULL);
    }
    print(now() - began);
}

// Both processes on one CPU, as the guest's are.
static void ping_pong(long count) {
    int there[2], back[2];
    char byte = 0;
    cpu_set_t one, may;
    if (pipe(there) || pipe(back)) fail("pipe");
    sched_getaffinity(0, sizeof may, &may);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &may)) {
            CPU_SET(i, &one);
            break;
        }
    sched_setaffinity(0, sizeof one, &one);
    if (!child()) {
        for (long i = 0; i < count; i++)
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    uint64_t began = now();
    for (long i = 0; i < count; i++)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
    print(now() - began);
    wait(NULL);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *what = argv[1];
    long n = atol(argv[2]), count = argc > 3 ? atol(argv[3]) : 1;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!strcmp(what, "syscall")) system_calls(n);
    else if (!strcmp(what, "cpu")) spin(n);
    else if (!strcmp(what, "touch")) print(write_pages(map(n), n));
    else if (!strcmp(what, "zero")) print(read_pages(map(n), n));
    else if (!strcmp(what, "cow")) copy_on_write(n);
    else if (!strcmp(what, "fork")) fork_apart(n, count);
    else if (!strcmp(what, "forks")) fork_all(n, count);
    else if (!strcmp(what, "switch")) ping_pong(n);
    else return 2;
    return 0;
}
