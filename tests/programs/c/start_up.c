/* What does a program find at its start: argc, the environment, the auxiliary vector, the stack's alignment? */
#include "say.h"
#include <sys/auxv.h>

extern char **environ;

int main(int argc, char **argv)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
    int bits = 0;
    for (int i = 0; i < 16; i++)
        bits += __builtin_popcount(random[i]);
    say("argc %d, end %d, aligned %d\n", argc, argv[argc] == 0, frame % 16 == 0);
    say("page size %lu, clock ticks %lu, secure %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE));
    say("random: %d\n", bits > 20 && bits < 108);
    say("program headers: %d of size %lu\n", getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 0, getauxval(AT_PHENT));
    say("platform %s\n", (char *)getauxval(AT_PLATFORM));
    say("name is argv[0]: %d\n", !strcmp((char *)getauxval(AT_EXECFN), argv[0]));
    say("order: %d\n", (char *)argv < (char *)environ && (char *)environ < argv[0] && (uintptr_t)argv > frame);
    for (char **e = environ; *e; e++)
        if (!strncmp(*e, "CR3LAB", 6))
            say("%s\n", *e);
    return 0;
}
