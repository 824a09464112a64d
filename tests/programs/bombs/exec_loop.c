/* A program that starts itself, and one whose arguments are too long. */
#include "bomb.h"

int main(int argc, char **argv)
{
    int left = argc > 1 ? atoi(argv[1]) : 80;
    char number[16], *arguments[] = {argv[0], number, 0};
    if (left) {
        sprintf(number, "%d", left - 1);
        execv("/proc/self/exe", arguments);
        say("exec: %s\n", name_of(errno));
        return 1;
    }
    static char text[140000];
    static char *many[40000];
    memset(text, 'a', sizeof text - 1);
    char *one[] = {argv[0], text, 0};
    execv("/proc/self/exe", one);
    say("a long argument: %s\n", name_of(errno));
    text[100] = 0;
    for (int i = 0; i < 39999; i++)
        many[i] = text;
    execv("/proc/self/exe", many);
    say("many arguments: %s\n", name_of(errno));
    return 0;
}
