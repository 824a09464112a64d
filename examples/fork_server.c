/* How does a server try inputs that may crash it, or spoil its tables? It forks for each: what the child does to its
 * memory is gone with the child. This one has 64 MiB of tables, so that a fork would copy 16,384 PTEs for the few pages
 * that a child writes to; an on-demand fork copies the PTE tables around those pages only. Where there is no odfork, as
 * in Linux, fork(2) takes its place, and the output is the same.
 *
 *     gcc -O2 -static -Iuserland/include -o fork_server examples/fork_server.c
 *     emu run --stats fork_server                     EXPECT exit == 0
 *
 * An input is words and parentheses: `(a b) (c)`. Arguments are inputs that take the place of those below.
 */
#include <cr3lab.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { slots = 1 << 22, syntax_error = 2 };

static struct { uint64_t key; uint32_t count, weight; } table[slots];

static const char *inputs[] = {
    "the cat saw the dog", "((words) in (parentheses))", "(one too few", "!", "the cat saw the dog",
};

struct parser { const char *at; int words, different; };

static void count_word(struct parser *p)
{
    uint64_t key = 14695981039346656037u;
    for (; *p->at >= 'a' && *p->at <= 'z'; p->at++)
        key = (key ^ (unsigned char)*p->at) * 1099511628211u;
    uint32_t slot = key >> 42;
    while (table[slot].count && table[slot].key != key)
        slot = (slot + 1) % slots;
    table[slot].key = key;                              /* the write that copies a PTE table, and a page */
    p->different += !table[slot].count++;
    p->words++;
}

static void parse(struct parser *p, int depth)
{
    for (;;) {
        if (*p->at == ' ') {
            p->at++;
        } else if (*p->at == '(') {
            p->at++;
            parse(p, depth + 1);
        } else if (*p->at >= 'a' && *p->at <= 'z') {
            count_word(p);
        } else if (*p->at == '!') {
            *(volatile char *)0 = 0;                    /* the bug in the parser */
        } else if (*p->at == (depth ? ')' : 0)) {
            break;
        } else {
            exit(syntax_error);
        }
    }
    p->at += depth > 0;
}

/* Runs in the child; its table is the server's, until it writes. */
static void try_input(const char *input)
{
    struct parser p = {input, 0, 0};
    parse(&p, 0);
    printf("%d words, %d different\n", p.words, p.different);
    exit(0);
}

static void serve(const char *input)
{
    int status;
    printf("%-28s ", input);
    fflush(stdout);
    long child = odfork();
    if (cr3lab_failed(child))
        child = fork();
    if (child == 0)
        try_input(input);
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("killed by signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        printf("syntax error\n");
}

int main(int argc, char **argv)
{
    for (uint32_t i = 0; i < slots; i++)
        table[i].weight = i;
    for (int i = 1; i < argc; i++)
        serve(argv[i]);
    for (size_t i = 0; argc == 1 && i < sizeof inputs / sizeof *inputs; i++)
        serve(inputs[i]);
    for (uint32_t i = 0; i < slots; i++)
        if (table[i].count || table[i].weight != i)
            return 1;
    printf("the server's table is as it was\n");
    return 0;
}
