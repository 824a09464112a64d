/* Do arguments, environment, close-on-exec and the inherited offset survive execve as they should? */
#include "say.h"

extern char **environ;

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "second")) {
        say("argc %d\n", argc);
        for (int i = 1; i < argc; i++)
            say("argv[%d] '%s'\n", i, argv[i]);
        for (char **e = environ; *e; e++)
            say("env '%s'\n", *e);
        say("fd 10: %d, fd 11: %d\n", fcntl(10, F_GETFD), fcntl(11, F_GETFD));
        try(lseek(11, 0, SEEK_CUR));
        return 17;
    }
    char *args[] = {argv[0], "second", "", "with space", "\xff\x01", 0};
    char *env[] = {"A=1", "EMPTY=", "no equals sign", 0};
    int fd = open("/tmp/cr3lab-exec", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-exec");
    write(fd, "abc", 3);
    dup3(fd, 10, O_CLOEXEC);
    dup2(fd, 11);
    pid_t child = fork();
    if (child == 0) {
        execve(argv[0], args, env);
        _exit(99);
    }
    wait_and_say("second", child);
    return 0;
}
