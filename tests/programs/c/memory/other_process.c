/* Do process_vm_readv and process_vm_writev move bytes between processes, page by page, up to the first bad one? */
#include "say.h"

#define PAGE 4096

static int to_child[2], to_parent[2];

static void step(int out, int in)
{
    char byte = 0;
    if (out >= 0)
        write(out, &byte, 1);
    if (in >= 0)
        read(in, &byte, 1);
}

int main(void)
{
    static char text[100] = "of the parent", other[100];
    char *pages = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 'p', 4 * PAGE);
    pipe(to_child);
    pipe(to_parent);
    pid_t child = fork();
    if (!child) {
        strcpy(text, "of the child");
        memset(pages + PAGE, 'c', PAGE);
        munmap(pages + 3 * PAGE, PAGE);
        mprotect(pages + 2 * PAGE, PAGE, PROT_READ);
        step(to_parent[1], to_child[0]);
        _exit(strcmp(text, "by the parent") ? 1 : pages[0] == 'w' && pages[PAGE] == 'w' && pages[PAGE + 1] == 'c' ? 0 : 2);
    }
    step(-1, to_parent[0]);
    struct iovec mine = {other, 100}, theirs = {text, 100};
    try(process_vm_readv(child, &mine, 1, &theirs, 1, 0));
    say("%s, %s\n", other, text);
    strcpy(other, "by the parent");
    try(process_vm_writev(child, &mine, 1, &theirs, 1, 0));
    struct iovec two[2] = {{other, 10}, {other + 20, 50}}, three[3] = {{pages, 5}, {pages + PAGE - 2, 40}, {text, 100}};
    try(process_vm_readv(child, two, 2, three, 3, 0));
    say("%.10s %.3s %.30s\n", other, other + 20, other + 25);
    static char much[4 * PAGE];
    struct iovec large = {much, sizeof much}, all = {pages, 4 * PAGE}, hole = {pages + 3 * PAGE, 8};
    try(process_vm_readv(child, &large, 1, &all, 1, 0)); /* the last page is not there */
    try(process_vm_readv(child, &large, 1, &hole, 1, 0));
    memset(much, 'w', PAGE + 1);
    struct iovec some = {much, PAGE + 1}, none = {0, 0}, bad = {(void *)8, 8};
    try(process_vm_writev(child, &some, 1, &all, 1, 0));
    struct iovec readonly = {pages + 2 * PAGE, 4};
    try(process_vm_writev(child, &some, 1, &readonly, 1, 0));
    try(process_vm_readv(child, &bad, 1, &all, 1, 0));
    try(process_vm_readv(child, &none, 1, &all, 1, 0));
    try(process_vm_readv(child, &some, 0, &all, 1, 0));
    try(process_vm_readv(child, &some, 1, &all, 1, 1));
    try(process_vm_readv(child, &some, 2000, &all, 1, 0));
    try(process_vm_readv(99999999, &some, 1, &all, 1, 0));
    try(process_vm_readv(child, (void *)8, 1, &all, 1, 0));
    say("own page %c\n", pages[0]);
    step(to_child[1], -1);
    wait_and_say("child", child);
    return 0;
}
