/* What do the calls of protection keys say on a CPU that has none? */
/* not musl: it has no names for these calls */
#include "say.h"

int main(void)
{
    char *p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    try(syscall(SYS_pkey_alloc, 1, 0));
    try(syscall(SYS_pkey_alloc, 0, 4));
    try(syscall(SYS_pkey_free, 1));
    try(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, -1));
    try(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, 1));
    try(syscall(SYS_pkey_mprotect, p + 1, 4096, PROT_READ, -1));
    return 0;
}
