/* Where do writes land with O_APPEND: from two opens, after dup and fork, after seeks and truncation, through F_SETFL? */
#include "say.h"

static void show(int fd)
{
    char text[128] = {0};
    int n = pread(fd, text, 127, 0);
    for (int i = 0; i < n; i++)
        if (!text[i])
            text[i] = '.';
    say("%s (%ld)\n", text, (long)lseek(fd, 0, SEEK_CUR));
}

int main(void)
{
    int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600), plain = open("log", O_RDWR), copy = dup(fd);
    write(fd, "one ", 4);
    write(plain, "X", 1);
    write(fd, "two ", 4);
    show(fd);
    lseek(fd, 0, SEEK_SET);
    char two[3] = {0};
    read(fd, two, 2);
    write(copy, "three ", 6);
    say("read %s\n", two);
    show(fd);
    pid_t child = fork();
    if (child == 0) {
        write(fd, "child ", 6);
        write(plain, "Y", 1);
        _exit(0);
    }
    wait_and_say("child", child);
    show(fd);
    show(plain);
    ftruncate(plain, 4);
    write(fd, "cut ", 4);
    show(fd);
    try(fcntl(fd, F_SETFL, 0));
    lseek(fd, 0, SEEK_SET);
    write(copy, "0", 1);
    show(fd);
    try(fcntl(plain, F_SETFL, O_APPEND));
    write(plain, "end", 3);
    show(plain);
    struct iovec parts[2] = {{"a", 1}, {"b", 1}};
    writev(plain, parts, 2);
    pwritev(plain, parts, 2, 0);
    show(plain);
    lseek(plain, 100, SEEK_END);
    write(plain, "!", 1);
    show(plain);
    unlink("log");
    return 0;
}
