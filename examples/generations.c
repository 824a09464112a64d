/* Do three generations of a process with 100 MiB of heap each keep their own copy of every page?
 *
 * Parent, child, grandchild and great-grandchild fill the same addresses with values of their own; everybody looks again
 * after the next generation has ended. EXPECT exit == 40
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { size = 100 << 20, page = 4096, generations = 3 };

static void fill(unsigned char *memory, unsigned char value)
{
    for (size_t i = 0; i < size; i += page)
        memory[i] = memory[i + page - 1] = value;
}

static int holds(const unsigned char *memory, unsigned char value)
{
    for (size_t i = 0; i < size; i += page)
        if (memory[i] != value || memory[i + page - 1] != value)
            return 0;
    return 1;
}

/* Forks a generation that overwrites everything and has children of its own; returns how many generations were right. */
static int live(unsigned char *memory, int generation)
{
    int status = 0;
    fill(memory, 'A' + generation);
    if (generation < generations) {
        pid_t child = fork();
        if (child < 0)
            return 0;
        if (child == 0)
            _exit(holds(memory, 'A' + generation) ? live(memory, generation + 1) : 0);
        waitpid(child, &status, 0);
    }
    return WEXITSTATUS(status) + (holds(memory, 'A' + generation) ? 10 : 0);
}

int main(void)
{
    unsigned char *memory = malloc(size);
    if (!memory)
        return 99;
    int right = live(memory, 0);
    printf("%d of %d generations saw their own memory only\n", right / 10, generations + 1);
    return right;
}
