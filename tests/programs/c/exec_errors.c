/* What does execve return for files that cannot be run, with the caller left as it was? */
#include "say.h"

static void file(const char *name, const char *content, int mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    write(fd, content, strlen(content));
    fchmod(fd, mode);
    close(fd);
}

int main(int argc, char **argv)
{
    char *args[] = {"x", 0}, *env[] = {0};
    (void)argc;
    char loop[] = "/tmp/cr3lab-x-loop";
    file("/tmp/cr3lab-x-text", "just text\n", 0700);
    file("/tmp/cr3lab-x-empty", "", 0700);
    file("/tmp/cr3lab-x-gone", "#!/no/such/interpreter\n", 0700);
    file("/tmp/cr3lab-x-blank", "#!\n", 0700);
    file("/tmp/cr3lab-x-elf", "\177ELF garbage that is long enough to be read as a header ............", 0700);
    file("/tmp/cr3lab-x-plain", "#!/bin/true\n", 0600);
    file(loop, "#!/tmp/cr3lab-x-loop\n", 0700);
    try(execve("/no/such/file", args, env));
    try(execve("", args, env));
    try(execve("/tmp", args, env));
    try(execve("/tmp/cr3lab-x-text", args, env));
    try(execve("/tmp/cr3lab-x-empty", args, env));
    try(execve("/tmp/cr3lab-x-gone", args, env));
    try(execve("/tmp/cr3lab-x-blank", args, env));
    try(execve("/tmp/cr3lab-x-elf", args, env));
    try(execve("/tmp/cr3lab-x-plain", args, env));
    try(execve(loop, args, env));
    try(execve("/tmp/cr3lab-x-text/x", args, env));
    try(execve((char *)8, args, env));
    try(execve(argv[0], (char **)8, env));
    char *huge = malloc(200000);
    memset(huge, 'a', 199999);
    huge[199999] = 0;
    char *long_args[] = {"x", huge, 0};
    try(execve(argv[0], long_args, env));
    const char *names[] = {"text", "empty", "gone", "blank", "elf", "plain", "loop"};
    for (int i = 0; i < 7; i++) {
        char path[64];
        snprintf(path, sizeof path, "/tmp/cr3lab-x-%s", names[i]);
        unlink(path);
    }
    return 0;
}
