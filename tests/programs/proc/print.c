/* Prints the files of /proc it is told, each behind a line with its name, after making mappings of several kinds. */
#include "../c/say.h"

static void print(const char *path)
{
    static char buffer[1 << 16];
    ssize_t n;
    int fd = open(path, O_RDONLY);
    say("\n=== %s\n", path);
    if (fd < 0)
        say("errno %d\n", errno);
    while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
        write(1, buffer, n);
    close(fd);
}

int main(int argc, char **argv)
{
    char *memory = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *none = mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/tmp/cr3lab-proc-data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ftruncate(fd, 1 << 16);
    unlink("/tmp/cr3lab-proc-data");
    char *file = mmap(0, 1 << 16, PROT_READ, MAP_SHARED, fd, 4096);
    if (memory == MAP_FAILED || shared == MAP_FAILED || none == MAP_FAILED || file == MAP_FAILED)
        return 1;
    memset(memory, 1, 3 << 20);
    memset(shared, 1, 64 << 10);
    madvise(shared, 1 << 20, MADV_DONTFORK); /* Linux fills in shared memory of a child when it is touched */
    mlock(memory, 4096);
    madvise(memory + (4 << 20), 4096, MADV_DONTFORK);
    pid_t child = fork();
    if (child == 0)
        pause();
    for (int i = 1; i < argc; i++)
        print(argv[i]);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    return 0;
}
