/* Does an access behind the end of a mapped file give SIGBUS, and does the file's last page end in zeros? */
#include "say.h"

static sigjmp_buf out;
static int code;
static char *address;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(out, signo);
}

static void probe(const char *what, char *base, long offset, int write)
{
    int signo = sigsetjmp(out, 1);
    if (signo == 0) {
        volatile char *at = base + offset;
        if (write)
            *at = 'w';
        say("%s: %d\n", what, *at);
    } else
        say("%s: signal %d code %d offset %ld\n", what, signo, code, (long)(address - base));
}

int main(void)
{
    int fd = open("/tmp/cr3lab-sigbus", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("/tmp/cr3lab-sigbus");
    on(SIGBUS, handler, 0);
    on(SIGSEGV, handler, 0);
    write(fd, "hello", 5);
    char *map = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    probe("first", map, 0, 0);
    probe("tail", map, 5, 0);
    probe("tail, write", map, 4095, 1);
    probe("second page", map, 4096, 0);
    probe("third page, write", map, 8193, 1);
    probe("private, second page", private, 4100, 1);
    ftruncate(fd, 9000);
    probe("grown, second page", map, 4096, 1);
    probe("grown, tail", map, 9001, 0);
    probe("private, grown", private, 4096, 0);
    probe("private, own copy", private, 4097, 1);
    ftruncate(fd, 100);
    probe("cut, second page", map, 4096, 0);
    probe("cut, private copy is cut as well", private, 4097, 0);
    probe("cut, first page's tail", map, 4095, 0);
    ftruncate(fd, 9000);
    probe("grown again: zeros", map, 4096, 0);
    return 0;
}
