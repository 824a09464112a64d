// The measured work on the host itself: prints the nanoseconds each measured stretch took, one per line.
//
//   host syscall COUNT | cpu COUNT | touch BYTES | zero BYTES | cow BYTES | fork BYTES COUNT | apart BYTES COUNT
//        | forks BYTES COUNT | switch COUNT | faults TABLES HALF LATER COUNT | snapshot BYTES COUNT
//        | pipe-byte COUNT | file-open COUNT | file-read BYTES
//        | redis BITS BURSTS BATCH | shm-abundant BYTES PROCESSES | shm-sparse ... | shm-random ...
//
// Memory is in 4 KiB pages throughout (MADV_NOHUGEPAGE), as it is in the guest.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
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

static uint64_t *shared(size_t bytes) {
    uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) fail("mmap");
    return p;
}

static void copy_on_write(size_t bytes) {
    volatile char *p = map(bytes);
    write_pages(p, bytes);
    uint64_t *took = shared(4096);
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

// Each exit, of a child that does nothing, and each wait for one that has ended, apart.
static void exit_apart(size_t bytes, long count) {
    write_pages(map(bytes), bytes);
    uint64_t *began = shared(4096);
    siginfo_t info;
    for (long i = 0; i < count; i++) {
        pid_t pid = child();
        if (!pid) {
            *began = now();
            _exit(0);
        }
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
        uint64_t ended = now();
        print(ended - *began);
        waitpid(pid, NULL, 0);
        print(now() - ended);
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

#define TABLE (2ul << 20)

// The laps of parent and child, in memory that they share: lap[0] is their number.
static uint64_t *laps;

static void lap(void) {
    uint64_t n = laps[0] + 1;
    laps[n] = now();
    laps[0] = n;
}

static void print_splits(void) {
    for (uint64_t n = 2; n <= laps[0]; n++) print(laps[n] - laps[n - 1]);
}

// As fork_fault.asm.
static void faults(long tables, long half, long later, long count) {
    volatile char *p = map((tables + 1) * TABLE), *base = (volatile char *)(((uintptr_t)p + TABLE - 1) & -TABLE), none;
    write_pages(p, (tables + 1) * TABLE);
    laps = shared((count * (4 + (4 + later) * tables) + 1) * 8);
    for (long i = 0; i < count; i++) {
        if (!child()) {
            lap();
            for (long t = 0; t < half; t++) base[t * TABLE] = 2, lap();
            for (long t = 0; t < half; t++)
                for (long k = 1; k <= later; k++) base[t * TABLE + k * 28672] = 2, lap();
            for (long t = 0; t < half; t++) none = base[t * TABLE + 4096], lap();
            _exit(0);
        }
        wait(NULL);
        lap();
        for (long t = 0; t < half; t++) lap();
        for (long t = half; t < tables; t++) base[t * TABLE] = 2, lap();
    }
    (void)none;
    print_splits();
}

static uint64_t random_next(uint64_t *x) {  // xorshift (Marsaglia 2003)
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static const uint64_t SEED = 88172645463325252ull;

static void touch(volatile char *p, size_t bytes, const char *how, long process, long processes) {
    uint64_t x = SEED, pages = bytes / 4096, spread = pages / (3 * processes) * 4096;
    if (!strcmp(how, "abundant")) write_pages(p, bytes);
    else if (!strcmp(how, "sparse"))
        for (long i = 0; i < 3; i++) p[(3 * process + i) * spread] = 1;
    else
        for (uint64_t i = 0; i < pages / 4; i++) p[(random_next(&x) & (pages - 1)) * 4096] = 1;
}

// As sfork.asm with region_shm.asm.
static void share(size_t bytes, const char *how, long processes) {
    uint64_t began = now();
    int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
    volatile char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (p == (void *)-1) fail("shm");
    shmctl(id, IPC_RMID, NULL);
    for (long i = processes - 1; i > 0; i--)
        if (!child()) {
            touch(p, bytes, how, i, processes);
            _exit(0);
        }
    touch(p, bytes, how, 0, processes);
    while (wait(NULL) > 0);
    print(now() - began);
}

// As snapshot.asm: the same grammar, the same nodes, the same inputs.
static const char *text;
static struct node { long operator, left, right; } *node;

static void reject(void) { _exit(255); }

static long make(long operator, long left, long right) {
    *node++ = (struct node){operator, left, right};
    return operator == '+' ? left + right : operator == '-' ? left - right : operator == '*' ? left * right : left / right;
}

static char peek(void) {
    while (*text == ' ') text++;
    return *text;
}

static long expression(void);

static long factor(void) {
    char c = peek();
    long value = 0;
    if (c == '-') return text++, -factor();
    if (c == '(') {
        text++;
        value = expression();
        if (peek() != ')') reject();
        return text++, value;
    }
    if (c < '0' || c > '9') reject();
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + *text - '0';
    return value;
}

static long term(void) {
    long value = factor();
    for (char c; (c = peek()) == '*' || c == '/';) {
        text++;
        long right = factor();
        if (c == '/' && !right) reject();
        value = make(c, value, right);
    }
    return value;
}

static long expression(void) {
    long value = term();
    for (char c; (c = peek()) == '+' || c == '-';) {
        text++;
        value = make(c, value, term());
    }
    return value;
}

static const struct { const char *text; int result; } inputs[] = {
    {"7", 7}, {"1 + 2 * 4", 9}, {"(1 + 2) * (3 + 4) * 2", 42}, {"(1 + 2", 255}, {"((((((((((((((((1))))))))))))))))", 1},
    {"1 / (2 - 2)", 255}, {"12345 * 67 - 89 * (10 - 3) / 2 + 1001", 29}, {"-(-64)", 64}, {"2 ** 3", 255},
    {"1000 / 10 / 5 * 5", 100}, {"", 255}, {"-1", 127}, {"1 - 2 - 3 - 4 + 11", 3}, {"9 + x", 255}, {"64 * 2", 0},
    {"1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10", 55},
};

static void snapshot(size_t bytes, long count) {
    volatile char *p = map(bytes);
    int status;
    write_pages(p, bytes);
    uint64_t began = now();
    for (long i = 0; i < count; i++) {
        text = inputs[i % 16].text;
        if (!child()) {
            node = (struct node *)p;
            long value = expression();
            if (*text) reject();
            _exit(value & 127);
        }
        wait(&status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != inputs[i % 16].result) exit(1);
    }
    print(now() - began);
}

// As redis_like.asm, but with the child on another CPU: prints the fork and then the bursts.
static uint64_t (*slots)[8];

static uint64_t *find(uint64_t key, long bits) {
    uint64_t i = key * 0x9E3779B97F4A7C15ull >> (64 - bits);
    while (slots[i][0] && slots[i][0] != key) i = (i + 1) & ((1ull << bits) - 1);
    return slots[i];
}

static void redis(long bits, long bursts, long batch) {
    uint64_t keys = 1ull << (bits - 2), x = SEED, sum = 0;
    uint64_t *took = shared((bursts + 1) * 8);
    slots = (void *)map(64ul << bits);
    for (uint64_t key = 1; key <= keys; key++) {
        uint64_t *slot = find(key, bits);
        slot[0] = slot[1] = key;
    }
    uint64_t began = now();
    if (!child()) {
        for (uint64_t i = 0; i < 1ull << (bits - 1); i++) sum += slots[i][1];
        volatile uint64_t used = sum;
        (void)used;
        _exit(0);
    }
    print(now() - began);
    for (long i = 0; i < bursts; i++) {
        began = now();
        for (long n = 0; n < batch; n++) {
            random_next(&x);
            find((x & (keys - 1)) + 1, bits)[1] = x;
        }
        took[i] = now() - began;
    }
    wait(NULL);
    for (long i = 0; i < bursts; i++) print(took[i]);
}

static void pipe_bytes(long count) {
    int ends[2];
    char byte = 'A';
    if (pipe(ends)) fail("pipe");
    uint64_t began = now();
    for (long i = 0; i < count; i++)
        if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1) fail("pipe");
    print(now() - began);
}

// In /dev/shm, which is in memory as the guest's files are.
static void open_files(long count) {
    const char *name = "/dev/shm/cr3lab-bench-file";
    static char buffer[4096];
    struct stat status;
    int fd = open(name, O_RDWR | O_CREAT, 0644);
    if (fd < 0 || write(fd, buffer, 200) != 200) fail(name);
    close(fd);
    uint64_t began = now();
    for (long i = 0; i < count; i++) {
        fd = open(name, O_RDONLY);
        if (fstat(fd, &status) || read(fd, buffer, sizeof buffer) != 200) fail(name);
        close(fd);
    }
    print(now() - began);
    unlink(name);
}

static void read_file(long bytes) {
    const char *name = "/dev/shm/cr3lab-bench-large";
    static char buffer[1 << 16];
    memset(buffer, 1, sizeof buffer);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) fail(name);
    unlink(name);
    uint64_t began = now();
    for (long done = 0; done < bytes; done += sizeof buffer)
        if (write(fd, buffer, sizeof buffer) != sizeof buffer) fail(name);
    print(now() - began);
    began = now();
    for (int i = 0; i < 4; i++) {
        lseek(fd, 0, SEEK_SET);
        for (long done = 0; done < bytes; done += sizeof buffer)
            if (read(fd, buffer, sizeof buffer) != sizeof buffer) fail(name);
    }
    print(now() - began);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *what = argv[1];
    long n = atol(argv[2]), count = argc > 3 ? atol(argv[3]) : 1, third = argc > 4 ? atol(argv[4]) : 1;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!strcmp(what, "syscall")) system_calls(n);
    else if (!strcmp(what, "cpu")) spin(n);
    else if (!strcmp(what, "touch")) print(write_pages(map(n), n));
    else if (!strcmp(what, "zero")) print(read_pages(map(n), n));
    else if (!strcmp(what, "cow")) copy_on_write(n);
    else if (!strcmp(what, "fork")) fork_apart(n, count);
    else if (!strcmp(what, "apart")) exit_apart(n, count);
    else if (!strcmp(what, "forks")) fork_all(n, count);
    else if (!strcmp(what, "switch")) ping_pong(n);
    else if (!strcmp(what, "pipe-byte")) pipe_bytes(n);
    else if (!strcmp(what, "file-open")) open_files(n);
    else if (!strcmp(what, "file-read")) read_file(n);
    else if (!strcmp(what, "faults")) faults(n, count, third, argc > 5 ? atol(argv[5]) : 1);
    else if (!strcmp(what, "snapshot")) snapshot(n, count);
    else if (!strcmp(what, "redis")) redis(n, count, third);
    else if (!strncmp(what, "shm-", 4)) share(n, what + 4, count);
    else return 2;
    return 0;
}
