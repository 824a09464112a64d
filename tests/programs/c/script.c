/* How does a `#!` script call its interpreter: name, one optional argument, script path, the rest? */
#include "say.h"

static void run(char *script)
{
    char *args[] = {"shown-nowhere", "one", "two words", 0}, *env[] = {0};
    pid_t child = fork();
    if (child == 0) {
        execve(script, args, env);
        _exit(90 + (errno == ENOEXEC));
    }
    wait_and_say("script", child);
}

static void write_script(const char *path, const char *interpreter, const char *rest_of_line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    dprintf(fd, "#!%s%s\nbody\n", interpreter, rest_of_line);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            say("[%s]", argv[i]);
        say("\n");
        return argc;
    }
    char link[] = "/tmp/cr3lab-interpreter", script[] = "/tmp/cr3lab-script", outer[] = "/tmp/cr3lab-outer";
    unlink(link);
    if (symlink(argv[0], link))
        return 1;
    write_script(script, link, "");
    run(script);
    write_script(script, link, " -a  ");
    run(script);
    write_script(script, " \t/tmp/cr3lab-interpreter", "  -a b  c");
    run(script);
    write_script(outer, script, " deep");
    run(outer);
    unlink(link);
    unlink(script);
    unlink(outer);
    return 0;
}
