/* What the bombs share: each goes on until the kernel stops it, says how in one line, and cleans up after itself. */
#ifndef BOMB_H
#define BOMB_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <time.h>
#include <unistd.h>

#define say(...) dprintf(1, __VA_ARGS__)

static inline const char *name_of(int error)
{
    switch (error) {
    case EAGAIN: return "EAGAIN";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case E2BIG: return "E2BIG";
    case EFBIG: return "EFBIG";
    case ELOOP: return "ELOOP";
    case EINVAL: return "EINVAL";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ENOBUFS: return "ENOBUFS";
    default: return "another error";
    }
}

/* A child that runs a part of the bomb; how it ended. */
static inline int ended(const char *what, pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        say("%s: killed by signal %d\n", what, WTERMSIG(status));
    else
        say("%s: exit %d\n", what, WEXITSTATUS(status));
    return status;
}

#endif
