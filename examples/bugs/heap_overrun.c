/* Why does free() end the program, though what it frees came from malloc()? The text before it was longer than its place. */
#include <stdlib.h>

static void copy(char *to, const char *from)
{
    while ((*to++ = *from++))
        ;
}

static char *freed;

static void drop(char *what)
{
    freed = what;
    free(what);
}

int main(void)
{
    char *name = malloc(24);
    char *other = malloc(24);
    copy(name, "a name that is longer than 24 letters");
    drop(other);
    free(name);
    return 0;
}
