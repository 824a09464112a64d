/* Which fork does a process get, and who decides? One case per argument; each line is checked by test_odf_control.py.
 * The state is told from outside: use_odf reads 1 from arming on, prctl(65) fails once forks are on-demand. */
#include "../c/say.h"
#include <pthread.h>
#include <sys/prctl.h>

#define ODF 65
#define SYS_odfork 2000

static char *self;

static const char *state_of(const char *path)
{
    static char text[16];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return "?";
    text[n] = 0;
    return text[n - 1] == '\n' ? (text[n - 1] = 0, text) : text;
}

static const char *state(void)
{
    return state_of("/proc/self/use_odf");
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    long n = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (n < 0)
        say("write %s: errno %d\n", text, errno);
    else
        say("write %s: %ld\n", text, n);
    close(fd);
}

/* A child that ends at once. */
static void forked(const char *who)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    wait_and_say(who, child);
}

static void *nothing(void *argument)
{
    return argument;
}

static void arm_and_fork(void)
{
    forked("before");
    try(prctl(ODF, 0, 0, 0, 0));
    forked("first");
    forked("second");
}

static void arm_again(void)
{
    try(prctl(ODF, 1, 0, 0, 0));
    try(prctl(ODF, 0, 0, 0, 1));
    try(prctl(ODF, 0, 0, 0, 0));
    try(prctl(ODF, 0, 0, 0, 0));
    say("armed: %s\n", state());
    pid_t child = fork();
    if (child == 0) {
        try(prctl(ODF, 0, 0, 0, 0));
        _exit(0);
    }
    wait_and_say("child", child);
    try(prctl(ODF, 0, 0, 0, 0));
    say("active: %s\n", state());
}

static void not_consumed(void)
{
    try(prctl(ODF, 0, 0, 0, 0));
    pid_t child = vfork();
    if (child == 0)
        _exit(0);
    wait_and_say("vfork", child);
    try(prctl(ODF, 0, 0, 0, 0));
    pthread_t thread;
    if (pthread_create(&thread, 0, nothing, 0) == 0)
        pthread_join(thread, 0);
    try(prctl(ODF, 0, 0, 0, 0));
    forked("fork");
    try(prctl(ODF, 0, 0, 0, 0));
}

static void by_file(void)
{
    struct stat about;
    stat("/proc/self/use_odf", &about);
    say("mode %o, begins %s\n", about.st_mode & 07777, state());
    put("/proc/self/use_odf", "1\n");
    say("armed %s\n", state());
    put("/proc/self/use_odf", "0");
    say("off %s\n", state());
    forked("classic");
    put("/proc/self/use_odf", "0x1\n");
    forked("on demand");
    try(prctl(ODF, 0, 0, 0, 0));
    put("/proc/self/use_odf", "0");
    forked("classic again");
    try(prctl(ODF, 0, 0, 0, 0));
}

/* The parent switches its child's forks while that waits. */
static void other_process(void)
{
    int go[2];
    char path[64], c;
    pipe(go);
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        read(go[0], &c, 1);
        say("child %s\n", state());
        forked("grandchild");
        _exit(0);
    }
    snprintf(path, sizeof path, "/proc/%d/use_odf", child);
    say("before %s\n", state_of(path));
    put(path, "1");
    say("after %s\n", state_of(path));
    say("parent %s\n", state());
    int fd = open(path, O_RDWR);
    write(go[1], "", 1);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    try(read(fd, &c, 1));
    try(write(fd, "1", 1));
    wait_and_say("child", child);
    try(read(fd, &c, 1));
    try(write(fd, "0", 1));
    try(open(path, O_RDWR));
}

static void values(void)
{
    static const char *const texts[] = {
        "2", "-1\n", "010", "0x10", "2147483647", "2147483648", "99999999999999999999", "x", "1x", "\n", "0x", "09",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("/proc/self/use_odf", texts[i]);
        if (strcmp(state(), "0"))
            say("changed\n");
    }
    static const char *const ones[] = {"1", "01", "0x1", "+1", " 1 \n"};
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++) {
        put("/proc/self/use_odf", ones[i]);
        say("%s\n", state());
        put("/proc/self/use_odf", "00");
        say("%s\n", state());
    }
}

static void generation(int depth)
{
    if (!depth)
        return;
    pid_t child = fork();
    if (child == 0) {
        say("depth %d: %s\n", depth, state());
        try(prctl(ODF, 0, 0, 0, 0));
        generation(depth - 1);
        _exit(0);
    }
    wait_and_say("child", child);
}

static void grandchildren(void)
{
    try(prctl(ODF, 0, 0, 0, 0));
    generation(3);
}

static void again(const char *how)
{
    char *args[] = {self, (char *)how, 0};
    execv(self, args);
    say("not executed, errno %d\n", errno);
}

static void exec_armed(void)
{
    try(prctl(ODF, 0, 0, 0, 0));
    again("executed");
}

static void exec_active(void)
{
    try(prctl(ODF, 0, 0, 0, 0));
    forked("before exec");
    again("executed");
}

static void exec_in_child(void)
{
    try(prctl(ODF, 0, 0, 0, 0));
    pid_t child = fork();
    if (child == 0)
        again("executed");
    wait_and_say("child", child);
}

static void executed(void)
{
    say("%s\n", state());
    try(prctl(ODF, 0, 0, 0, 0));
    forked("after exec");
}

static void by_call(void)
{
    static int value = 1;
    long child = syscall(SYS_odfork);
    if (child == 0) {
        value = 2;
        say("child %d %s\n", value, state());
        forked("its own");
        _exit(7);
    }
    wait_and_say("odfork", child);
    say("parent %d %s\n", value, state());
    forked("then");
}

/* Tables shared from the time before are still there when a classic fork comes. */
static void switched_off(void)
{
    size_t size = 4 << 20;
    unsigned char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int go[2];
    char c;
    pipe(go);
    memset(memory, 'a', size);
    try(prctl(ODF, 0, 0, 0, 0));
    pid_t sharer = fork();
    if (sharer == 0) {
        close(go[1]);
        read(go[0], &c, 1);
        int right = 1;
        for (size_t i = 0; i < size; i += 4096)
            right &= memory[i] == 'a';
        say("sharer %s\n", right ? "has its bytes" : "lost them");
        _exit(0);
    }
    put("/proc/self/use_odf", "0");
    pid_t child = fork();
    if (child == 0) {
        memory[0] = 'c';
        say("child %c%c\n", memory[0], memory[size - 1]);
        _exit(0);
    }
    wait_and_say("child", child);
    memory[4096] = 'p';
    say("parent %c%c\n", memory[0], memory[4096]);
    close(go[1]);
    wait_and_say("sharer", sharer);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"arm-and-fork", arm_and_fork}, {"arm-again", arm_again},         {"not-consumed", not_consumed},
        {"by-file", by_file},           {"other-process", other_process}, {"values", values},
        {"grandchildren", grandchildren}, {"exec-armed", exec_armed},     {"exec-active", exec_active},
        {"exec-in-child", exec_in_child}, {"executed", executed},         {"by-call", by_call},
        {"switched-off", switched_off},
    };
    self = argv[0];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc > 1 && !strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    return 2;
}
