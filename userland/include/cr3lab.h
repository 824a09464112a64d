/* The system calls the laboratory has beyond Linux, for C and C++.
 *
 * Needs nothing but a compiler for x86-64 with GNU inline assembly: works freestanding (-nostdlib, -ffreestanding)
 * and beside any C library. Calls return what the kernel does: a result, or -errno in -4095..-1; cr3lab_failed()
 * tells. On a plain Linux kernel both calls return -ENOSYS (-38).
 */
#ifndef CR3LAB_H
#define CR3LAB_H

#define SYS_odfork 2000 /* fork(2) by on-demand fork, this once */
#define SYS_sfork 2001  /* sfork(len, flags, addr) */

#define PR_SET_ODF 65 /* prctl(PR_SET_ODF, on): what plain fork(2) does from now on */

#define MAP_SFORK 0x200 /* mmap: memory to be shared by a later sfork */

#define CHILD_WRITE 1    /* sfork flags: who may write the region; at least one */
#define PARENT_WRITE 2   /* the other side reads, and gets SIGSEGV on a write */
#define SFORK_POPULATE 4 /* fill it now: no page faults later */

#ifdef __cplusplus
extern "C" {
#endif

/* A system call with up to six arguments (syscall(2): rdi rsi rdx r10 r8 r9; rcx and r11 are lost). */
static inline long cr3lab_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline int cr3lab_failed(long result)
{
    return (unsigned long)result >= -4095UL;
}

/* Process id of the child in the parent, 0 in the child, -errno. */
static inline long odfork(void)
{
    return cr3lab_syscall(SYS_odfork, 0, 0, 0, 0, 0, 0);
}

/* The same, with `len` zeroed bytes at *addr (page aligned, one address in both) shared by parent and child. */
static inline long sfork(unsigned long len, unsigned flags, void **addr)
{
    return cr3lab_syscall(SYS_sfork, (long)len, (long)flags, (long)addr, 0, 0, 0);
}

#ifdef __cplusplus
}
#endif

#endif
