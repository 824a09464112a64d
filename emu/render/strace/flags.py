"""Sets of flags and enumerations, by the kind of argument that holds them.

Flags are printed in the order given here, which is strace's. Values come from the uapi constants of the same names.
"""

from functools import cache
from typing import Final

from emu.render.strace.call import hexadecimal
from mini_kernel import uapi

_FLAGS: Final = {
    "prot": "PROT_READ PROT_WRITE PROT_EXEC PROT_SEM PROT_GROWSDOWN PROT_GROWSUP",
    "mapflags": "MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_32BIT MAP_SFORK MAP_NORESERVE MAP_POPULATE "
    "MAP_NONBLOCK MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_STACK MAP_HUGETLB MAP_SYNC "
    "MAP_FIXED_NOREPLACE",
    "mremapflags": "MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP",
    "msyncflags": "MS_SYNC MS_ASYNC MS_INVALIDATE",
    "mclflags": "MCL_CURRENT MCL_FUTURE MCL_ONFAULT",
    "mlockflags": "MLOCK_ONFAULT",
    "mfdflags": "MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB",
    "shmgetbits": "IPC_CREAT IPC_EXCL SHM_HUGETLB SHM_NORESERVE",
    "shmatflags": "SHM_RDONLY SHM_RND SHM_REMAP SHM_EXEC",
    "sforkflags": "CHILD_WRITE PARENT_WRITE SFORK_POPULATE",
    "openflags": "O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_DIRECT O_LARGEFILE O_NOFOLLOW "
    "O_NOATIME O_CLOEXEC O_PATH O_TMPFILE O_DIRECTORY FASYNC",
    "rwx": "R_OK W_OK X_OK",
    "statflags": "AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_RECURSIVE",
    "unlinkflags": "AT_REMOVEDIR",
    "accessflags": "AT_SYMLINK_NOFOLLOW AT_EACCESS AT_EMPTY_PATH",
    "statxflags": "AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC AT_SYMLINK_NOFOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH",
    "statxmask": "STATX_BASIC_STATS STATX_TYPE STATX_MODE STATX_NLINK STATX_UID STATX_GID STATX_ATIME STATX_MTIME "
    "STATX_CTIME STATX_INO STATX_SIZE STATX_BLOCKS STATX_BTIME STATX_MNT_ID STATX_DIOALIGN",
    "renameflags": "RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT",
    "flockops": "LOCK_SH LOCK_EX LOCK_UN LOCK_NB",
    "fdflags": "FD_CLOEXEC",
    "seals": "F_SEAL_SEAL F_SEAL_SHRINK F_SEAL_GROW F_SEAL_WRITE F_SEAL_FUTURE_WRITE",
    "closerangeflags": "CLOSE_RANGE_UNSHARE CLOSE_RANGE_CLOEXEC",
    "waitflags": "WNOHANG WSTOPPED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE",
    "cloneflags": "CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT "
    "CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED "
    "CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID "
    "CLONE_NEWNET CLONE_IO CLONE_CLEAR_SIGHAND CLONE_INTO_CGROUP",
    "sigactionflags": "SA_RESTORER SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND SA_SIGINFO SA_NOCLDSTOP SA_NOCLDWAIT",
    "stackflags": "SS_ONSTACK SS_DISABLE SS_AUTODISARM",
    "pollevents": "POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM POLLWRBAND POLLMSG "
    "POLLREMOVE POLLRDHUP",
    "epollevents": "EPOLLIN EPOLLPRI EPOLLOUT EPOLLRDNORM EPOLLRDBAND EPOLLWRNORM EPOLLWRBAND EPOLLMSG EPOLLERR "
    "EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE EPOLLWAKEUP EPOLLONESHOT EPOLLET",
    "epollflags": "EPOLL_CLOEXEC",
    "sockflags": "SOCK_CLOEXEC SOCK_NONBLOCK",
    "msgflags": "MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_NOSIGNAL "
    "MSG_MORE MSG_WAITFORONE MSG_CMSG_CLOEXEC",
    "semflags": "SEM_UNDO IPC_NOWAIT",
    "sysvmsgflags": "IPC_NOWAIT MSG_NOERROR MSG_EXCEPT MSG_COPY",
    "eventfdflags": "EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK",
    "signalfdflags": "SFD_CLOEXEC SFD_NONBLOCK",
    "timerfdflags": "TFD_CLOEXEC TFD_NONBLOCK",
    "grndflags": "GRND_NONBLOCK GRND_RANDOM GRND_INSECURE",
    "rwfflags": "RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND",
    "spliceflags": "SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT",
    "timerflags": "TIMER_ABSTIME",
    "statfsflags": "ST_VALID ST_RDONLY ST_NOSUID ST_RELATIME",
}
#: What 0 is called, where it has a name.
_ZERO: Final = {"prot": "PROT_NONE", "rwx": "F_OK", "statxflags": "AT_STATX_SYNC_AS_STAT"}

_NAMES: Final = {
    "whence": "SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE",
    "advice": "MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE MADV_DONTFORK "
    "MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP "
    "MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE "
    "MADV_DONTNEED_LOCKED MADV_COLLAPSE MADV_HWPOISON MADV_SOFT_OFFLINE",
    "fadvice": "POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED POSIX_FADV_DONTNEED "
    "POSIX_FADV_NOREUSE",
    "shmctlcmd": "IPC_RMID IPC_SET IPC_STAT IPC_INFO SHM_LOCK SHM_UNLOCK SHM_STAT SHM_INFO SHM_STAT_ANY",
    "how": "SIG_BLOCK SIG_UNBLOCK SIG_SETMASK",
    "resource": "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE "
    "RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME",
    "rusagewho": "RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD",
    "clock": "CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW "
    "CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI",
    "itimer": "ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF",
    "priowhich": "PRIO_PROCESS PRIO_PGRP PRIO_USER",
    "idtype": "P_ALL P_PID P_PGID P_PIDFD",
    "archcode": "ARCH_SET_GS ARCH_SET_FS ARCH_GET_FS ARCH_GET_GS ARCH_GET_CPUID ARCH_SET_CPUID",
    "policy": "SCHED_NORMAL SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE SCHED_DEADLINE",
    "fcntlcmd": "F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG "
    "F_SETOWN_EX F_GETOWN_EX F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_DUPFD_CLOEXEC F_NOTIFY "
    "F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS",
    "locktype": "F_RDLCK F_WRLCK F_UNLCK",
    "epollop": "EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD",
    "futexcmd": "FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI "
    "FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI "
    "FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2",
    "shuthow": "SHUT_RD SHUT_WR SHUT_RDWR",
    "semcmd": "IPC_RMID IPC_SET IPC_STAT IPC_INFO GETPID GETVAL GETALL GETNCNT GETZCNT SETVAL SETALL SEM_STAT SEM_INFO",
    "sockfamily": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "accmode": "O_RDONLY O_WRONLY O_RDWR",
    "filetype": "S_IFSOCK S_IFLNK S_IFREG S_IFBLK S_IFDIR S_IFCHR S_IFIFO",
    "fsmagic": "TMPFS_MAGIC RAMFS_MAGIC PROC_SUPER_MAGIC EXT2_SUPER_MAGIC OVERLAYFS_SUPER_MAGIC PIPEFS_MAGIC "
    "DEVPTS_SUPER_MAGIC SYSFS_MAGIC",
    "ptc": "CLD_EXITED CLD_KILLED CLD_DUMPED CLD_TRAPPED CLD_STOPPED CLD_CONTINUED",
}
_UNKNOWN: Final = {
    "prot": "PROT_", "mapflags": "MAP_", "advice": "MADV_", "whence": "SEEK_", "fcntlcmd": "F_", "clock": "CLOCK_",
    "resource": "RLIMIT_", "how": "SIG_", "archcode": "ARCH_", "idtype": "P_", "waitflags": "W",
    "cloneflags": "CLONE_", "statxmask": "STATX_", "mremapflags": "MREMAP_", "sforkflags": "SFORK_",
    "shmctlcmd": "SHM_",
}  # fmt: skip

FLAG_KINDS: Final = frozenset(_FLAGS)
NAME_KINDS: Final = frozenset(_NAMES)


@cache
def _constants() -> dict[str, int]:
    return uapi.constants()


@cache
def _table(names: str) -> tuple[tuple[int, str], ...]:
    """(value, name) pairs; names that this kernel does not know are left out."""
    known = _constants()
    return tuple((known[name], name) for name in names.split() if name in known)


def _what(kind: str) -> str:
    prefix = _UNKNOWN.get(kind)
    return f" /* {prefix}??? */" if prefix else ""


def flags(kind: str, value: int) -> str:
    """`A|B`; bits without a name in hexadecimal."""
    names: list[str] = []
    rest = value
    for bit, name in _table(_FLAGS[kind]):
        if bit and rest & bit == bit:
            names.append(name)
            rest &= ~bit
    if not names:
        return _ZERO.get(kind, "0") if not value else f"{value:#x}{_what(kind)}"
    return "|".join([*names, f"{rest:#x}"] if rest else names)


def name(kind: str, value: int) -> str:
    """The name of an enumeration's value, else the number."""
    for number, text in _table(_NAMES[kind]):
        if number == value:
            return text
    return f"{hexadecimal(value)}{_what(kind)}"


def constant(prefix: str, value: int) -> str | None:
    """The name of some constant that begins with `prefix`, the first in the order of the tables."""
    return next((n for n, v in _constants().items() if v == value and n.startswith(prefix)), None)
