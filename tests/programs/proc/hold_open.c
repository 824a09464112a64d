/* Keeps files of /proc open, half read, across forks, writes, on-demand tables and the death of whom they are about. */
#include "../c/say.h"
#include <dirent.h>

static const char *const names[] = {"status", "maps", "smaps", "stat", "comm", "use_odf", "pagemap", "cmdline"};
#define COUNT (sizeof names / sizeof *names)

static void read_some(const int *files, const char *when)
{
    char buffer[256];
    for (size_t i = 0; i < COUNT; i++) {
        ssize_t n = read(files[i], buffer, 64);
        unsigned sum = 0;
        for (ssize_t k = 0; k < n; k++)
            sum = sum * 31 + (unsigned char)buffer[k];
        say("%s %s %zd %d %08x\n", when, names[i], n, n < 0 ? errno : 0, i == 6 ? 0 : sum);
    }
}

static void open_all(int *files, pid_t pid)
{
    char path[64];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        files[i] = open(path, O_RDONLY);
    }
}

int main(void)
{
    int own[COUNT], others[COUNT], go[2];
    char *memory = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), c;
    memset(memory, 1, 1 << 14);
    pipe(go);
    int fd = open("/proc/self/use_odf", O_RDWR);
    write(fd, "1", 1);
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        memory[0] = 2;
        read(go[0], &c, 1);
        memory[4096] = 2;
        _exit(3);
    }
    open_all(own, getpid());
    open_all(others, child);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", child);
    chdir(path);
    DIR *directory = opendir("/proc");
    struct dirent *entry = readdir(directory);
    read_some(own, "own");
    read_some(others, "child's");
    memory[8192] = 3;
    rest(1);
    read_some(own, "own");
    write(go[1], "", 1);
    waitid(P_PID, child, 0, WEXITED | WNOWAIT);
    read_some(others, "zombie's");
    wait_and_say("child", child);
    read_some(others, "gone");
    while (entry) {
        say("%s\n", entry->d_name);
        entry = readdir(directory);
    }
    try(open("0", O_RDONLY));
    try(chdir(".."));
    return 0;
}
