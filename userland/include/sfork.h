/* sfork as library functions: a child that shares one region of memory with its parent.
 *
 *     sfork_mmap(len, flags, &addr)       mmap(MAP_SFORK) + fork + mprotect; needs the laboratory's kernel
 *     sfork_file(len, flags, &addr)       open, unlink, ftruncate, mmap(MAP_SHARED), close, fork; any Linux
 *     sfork_shm(len, flags, &addr, &id)   shmget, shmat, fork; any Linux
 *     sfork_shm_end(addr, id)             shmdt, shmctl(IPC_RMID): either side may call it, or both
 *
 * All return the process id of the child in the parent, 0 in the child, and -errno on failure; cr3lab_failed() tells.
 * In a hosted program sfork_library() is the first of them as C libraries report: -1, and errno set.
 *
 * `flags`: CHILD_WRITE, PARENT_WRITE or both, SFORK_POPULATE with them; a side that is not named reads only, gets
 * SIGSEGV on a write, and cannot make the region writable again. `len` is rounded up to whole pages, all zero at first.
 * `addr` is set before the fork, to the same page-aligned address in both. -EINVAL for len 0, addr NULL, neither
 * writer, or an unknown flag. After a failure nothing is mapped and *addr is what it was.
 *
 * Freestanding programs use the fork system call itself; hosted ones fork() of their C library, which also runs what
 * pthread_atfork() registered.
 */
#ifndef SFORK_H
#define SFORK_H

#include "cr3lab.h"

#if __STDC_HOSTED__
#include <errno.h>
#include <unistd.h>
#endif

/* Linux's values under names of their own: freestanding programs have no headers, hosted ones must not clash. */
enum {
    SFORK_NR_OPEN = 2, SFORK_NR_CLOSE = 3, SFORK_NR_MMAP = 9, SFORK_NR_MPROTECT = 10, SFORK_NR_MUNMAP = 11,
    SFORK_NR_MADVISE = 28, SFORK_NR_SHMGET = 29, SFORK_NR_SHMAT = 30, SFORK_NR_SHMCTL = 31, SFORK_NR_GETPID = 39,
    SFORK_NR_FORK = 57, SFORK_NR_WAIT4 = 61, SFORK_NR_KILL = 62, SFORK_NR_SHMDT = 67, SFORK_NR_FTRUNCATE = 77,
    SFORK_NR_UNLINK = 87, SFORK_NR_EXIT_GROUP = 231,
    SFORK_READ = 1, SFORK_READ_WRITE = 3,                                    /* PROT_* */
    SFORK_SHARED = 1, SFORK_FIXED = 0x10, SFORK_ANONYMOUS = 0x20, SFORK_PREFAULT = 0x8000, /* MAP_* */
    SFORK_OPEN_READ = 02000000, SFORK_OPEN_NEW = 02000302,                   /* O_CLOEXEC; |O_RDWR|O_CREAT|O_EXCL */
    SFORK_PRIVATE_KEY = 0, SFORK_SHM_READ = 010000, SFORK_SHM_OVER = 040000, /* IPC_PRIVATE, SHM_RDONLY, SHM_REMAP */
    SFORK_REMOVE = 0,                                                        /* IPC_RMID */
    SFORK_FILL_READ = 22, SFORK_FILL_WRITE = 23,                             /* MADV_POPULATE_* */
    SFORK_KILL = 9, SFORK_E_EXIST = 17, SFORK_E_INVAL = 22, SFORK_E_IDRM = 43
};

#ifdef __cplusplus
extern "C" {
#endif

enum sfork_kind { SFORK_BY_MMAP, SFORK_BY_FILE, SFORK_BY_SHM };

/* What a region is made of, while it is being set up. */
struct sfork_backing {
    enum sfork_kind kind;
    unsigned long len;
    unsigned flags;
    void *addr;
    long handle; /* file: a descriptor for the side that only reads, -1 if both write; shm: the segment's id */
    int *id;     /* shm: where the caller wants the id */
};

static inline long sfork_call(long number, long a, long b, long c, long d, long e, long f)
{
    return cr3lab_syscall(number, a, b, c, d, e, f);
}

static inline long sfork_map(void *addr, unsigned long len, long prot, long flags, long fd)
{
    return sfork_call(SFORK_NR_MMAP, (long)addr, (long)len, prot, flags, fd, 0);
}

static inline long sfork_prefault(const struct sfork_backing *b)
{
    return b->flags & SFORK_POPULATE ? SFORK_PREFAULT : 0;
}

static inline int sfork_one_writer(const struct sfork_backing *b)
{
    return (b->flags & (CHILD_WRITE | PARENT_WRITE)) != (CHILD_WRITE | PARENT_WRITE);
}

/* A new file in /tmp that has no name any more: its descriptor; and in *reader one that cannot write, if asked for. */
static inline long sfork_temporary(long *reader)
{
    char path[] = "/tmp/sfork-0000000000000000";
    unsigned long name = (unsigned long)sfork_call(SFORK_NR_GETPID, 0, 0, 0, 0, 0, 0) << 32;
    long fd;
    do {
        for (int digit = 0; digit < 16; digit++)
            path[11 + digit] = "0123456789abcdef"[name >> (60 - 4 * digit) & 15];
        fd = sfork_call(SFORK_NR_OPEN, (long)path, SFORK_OPEN_NEW, 0600, 0, 0, 0);
    } while (fd == -SFORK_E_EXIST && (unsigned)++name);
    if (cr3lab_failed(fd))
        return fd;
    if (reader)
        *reader = sfork_call(SFORK_NR_OPEN, (long)path, SFORK_OPEN_READ, 0, 0, 0, 0);
    sfork_call(SFORK_NR_UNLINK, (long)path, 0, 0, 0, 0, 0);
    if (reader && cr3lab_failed(*reader)) {
        sfork_call(SFORK_NR_CLOSE, fd, 0, 0, 0, 0, 0);
        return *reader;
    }
    return fd;
}

static inline void sfork_close(struct sfork_backing *b)
{
    if (b->kind == SFORK_BY_FILE && b->handle >= 0)
        sfork_call(SFORK_NR_CLOSE, b->handle, 0, 0, 0, 0, 0);
}

static inline long sfork_make_file(struct sfork_backing *b)
{
    long fd, result;
    b->handle = -1;
    fd = sfork_temporary(sfork_one_writer(b) ? &b->handle : 0);
    if (cr3lab_failed(fd))
        return fd;
    result = sfork_call(SFORK_NR_FTRUNCATE, fd, (long)b->len, 0, 0, 0, 0);
    if (!result)
        result = sfork_map(0, b->len, SFORK_READ_WRITE, SFORK_SHARED | sfork_prefault(b), fd);
    sfork_call(SFORK_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    if (cr3lab_failed(result))
        sfork_close(b);
    return result;
}

/* Detach the region and remove the segment. */
static inline long sfork_shm_end(void *addr, int id)
{
    long result = sfork_call(SFORK_NR_SHMDT, (long)addr, 0, 0, 0, 0, 0), removed;
    removed = sfork_call(SFORK_NR_SHMCTL, id, SFORK_REMOVE, 0, 0, 0, 0);
    if (removed == -SFORK_E_INVAL || removed == -SFORK_E_IDRM) /* the other side was first */
        removed = 0;
    return result ? result : removed;
}

static inline long sfork_make_shm(struct sfork_backing *b)
{
    long result;
    b->handle = sfork_call(SFORK_NR_SHMGET, SFORK_PRIVATE_KEY, (long)b->len, 0600, 0, 0, 0);
    if (cr3lab_failed(b->handle))
        return b->handle;
    result = sfork_call(SFORK_NR_SHMAT, b->handle, 0, 0, 0, 0, 0);
    if (cr3lab_failed(result) || !b->id)
        sfork_call(SFORK_NR_SHMCTL, b->handle, SFORK_REMOVE, 0, 0, 0, 0);
    if (!cr3lab_failed(result) && b->flags & SFORK_POPULATE) {
        long filled = sfork_call(SFORK_NR_MADVISE, result, (long)b->len, SFORK_FILL_WRITE, 0, 0, 0);
        if (filled) {
            sfork_shm_end((void *)result, (int)b->handle);
            return filled;
        }
    }
    return result;
}

/* Map the region: its address, or -errno with nothing left behind. */
static inline long sfork_make(struct sfork_backing *b)
{
    if (b->kind == SFORK_BY_FILE)
        return sfork_make_file(b);
    if (b->kind == SFORK_BY_SHM)
        return sfork_make_shm(b);
    return sfork_map(0, b->len, SFORK_READ_WRITE,
                     MAP_SFORK | SFORK_ANONYMOUS | sfork_prefault(b), -1);
}

/* Give up the right to write, for good: mprotect alone could be undone on a file or a segment. */
static inline long sfork_read_only(const struct sfork_backing *b)
{
    long result;
    if (b->kind == SFORK_BY_MMAP)
        return sfork_call(SFORK_NR_MPROTECT, (long)b->addr, (long)b->len, SFORK_READ, 0, 0, 0);
    if (b->kind == SFORK_BY_FILE)
        result = sfork_map(b->addr, b->len, SFORK_READ,
                           SFORK_SHARED | SFORK_FIXED | sfork_prefault(b), b->handle);
    else
        result = sfork_call(SFORK_NR_SHMAT, b->handle, (long)b->addr, SFORK_SHM_READ | SFORK_SHM_OVER, 0, 0, 0);
    if (cr3lab_failed(result))
        return result;
    if (b->kind == SFORK_BY_SHM && b->flags & SFORK_POPULATE)
        return sfork_call(SFORK_NR_MADVISE, (long)b->addr, (long)b->len, SFORK_FILL_READ, 0, 0, 0);
    return 0;
}

static inline void sfork_undo(struct sfork_backing *b)
{
    if (b->kind == SFORK_BY_SHM)
        sfork_shm_end(b->addr, (int)b->handle);
    else
        sfork_call(SFORK_NR_MUNMAP, (long)b->addr, (long)b->len, 0, 0, 0, 0);
}

static inline long sfork_fork(void)
{
#if __STDC_HOSTED__
    long pid = fork();
    return pid < 0 ? -errno : pid;
#else
    return sfork_call(SFORK_NR_FORK, 0, 0, 0, 0, 0, 0);
#endif
}

/* A side that cannot give up its right must not go on: the child ends, the parent ends it. */
static inline long sfork_give_up(struct sfork_backing *b, long pid, long error)
{
    if (!pid)
        sfork_call(SFORK_NR_EXIT_GROUP, 127, 0, 0, 0, 0, 0);
    sfork_call(SFORK_NR_KILL, pid, SFORK_KILL, 0, 0, 0, 0);
    sfork_call(SFORK_NR_WAIT4, pid, 0, 0, 0, 0, 0);
    sfork_undo(b);
    return error;
}

static inline long sfork_by(struct sfork_backing *b, void **addr)
{
    void *before;
    long result, error = 0;
    if (!b->len || !addr || !(b->flags & (CHILD_WRITE | PARENT_WRITE)))
        return -SFORK_E_INVAL;
    if (b->flags & ~(unsigned)(CHILD_WRITE | PARENT_WRITE | SFORK_POPULATE))
        return -SFORK_E_INVAL;
    result = sfork_make(b);
    if (cr3lab_failed(result))
        return result;
    before = *addr;
    *addr = b->addr = (void *)result;
    if (b->id)
        *b->id = (int)b->handle;
    result = sfork_fork();
    if (cr3lab_failed(result))
        sfork_undo(b);
    else if (!(b->flags & (result ? PARENT_WRITE : CHILD_WRITE)))
        error = sfork_read_only(b);
    sfork_close(b);
    if (error)
        result = sfork_give_up(b, result, error);
    if (cr3lab_failed(result))
        *addr = before;
    return result;
}

static inline long sfork_mmap(unsigned long len, unsigned flags, void **addr)
{
    struct sfork_backing b = {SFORK_BY_MMAP, len, flags, 0, -1, 0};
    return sfork_by(&b, addr);
}

static inline long sfork_file(unsigned long len, unsigned flags, void **addr)
{
    struct sfork_backing b = {SFORK_BY_FILE, len, flags, 0, -1, 0};
    return sfork_by(&b, addr);
}

/* The segment's id is in *id before the fork; with id NULL it is removed at once, and goes with the last detach. */
static inline long sfork_shm(unsigned long len, unsigned flags, void **addr, int *id)
{
    struct sfork_backing b = {SFORK_BY_SHM, len, flags, 0, -1, id};
    return sfork_by(&b, addr);
}

#if __STDC_HOSTED__
/* The signature of the report on sfork: -1 and errno on failure. */
static inline int sfork_library(unsigned long len, unsigned flags, void **addr)
{
    long result = sfork_mmap(len, flags, addr);
    if (!cr3lab_failed(result))
        return (int)result;
    errno = (int)-result;
    return -1;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
