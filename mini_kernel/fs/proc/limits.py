"""What a process may use, and where it is counted (Linux proc_pid_limits, do_io_accounting)."""

from typing import Final

from mini_kernel.fs.proc.views import Subject
from mini_kernel.mm.mm import UNLIMITED
from mini_kernel.uapi.numbers import (
    SYS_pread64,
    SYS_preadv,
    SYS_preadv2,
    SYS_pwrite64,
    SYS_pwritev,
    SYS_pwritev2,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
)
from mini_kernel.uapi.resource import (
    RLIM_INFINITY,
    RLIMIT_AS,
    RLIMIT_CORE,
    RLIMIT_CPU,
    RLIMIT_DATA,
    RLIMIT_FSIZE,
    RLIMIT_LOCKS,
    RLIMIT_MEMLOCK,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    RLIMIT_RSS,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
    RLIMIT_SIGPENDING,
    RLIMIT_STACK,
)

_ROWS: Final = (
    ("Max cpu time", RLIMIT_CPU, "seconds"), ("Max file size", RLIMIT_FSIZE, "bytes"),
    ("Max data size", RLIMIT_DATA, "bytes"), ("Max stack size", RLIMIT_STACK, "bytes"),
    ("Max core file size", RLIMIT_CORE, "bytes"), ("Max resident set", RLIMIT_RSS, "bytes"),
    ("Max processes", RLIMIT_NPROC, "processes"), ("Max open files", RLIMIT_NOFILE, "files"),
    ("Max locked memory", RLIMIT_MEMLOCK, "bytes"), ("Max address space", RLIMIT_AS, "bytes"),
    ("Max file locks", RLIMIT_LOCKS, "locks"), ("Max pending signals", RLIMIT_SIGPENDING, "signals"),
    ("Max msgqueue size", RLIMIT_MSGQUEUE, "bytes"), ("Max nice priority", RLIMIT_NICE, ""),
    ("Max realtime priority", RLIMIT_RTPRIO, ""), ("Max realtime timeout", RLIMIT_RTTIME, "us"),
)  # fmt: skip
_READS: Final = (SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_preadv2)
_WRITES: Final = (SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev, SYS_pwritev2)
#: Limits that are kept with the address space, by the name of the attribute.
MM_LIMITS: Final = {
    RLIMIT_AS: "address_space",
    RLIMIT_DATA: "data",
    RLIMIT_MEMLOCK: "locked",
    RLIMIT_STACK: "stack",
}
_UNLIMITED: Final = (RLIM_INFINITY, RLIM_INFINITY)


def _shown(limit: int) -> str:
    return "unlimited" if limit >= UNLIMITED else str(limit)


def limits(subject: Subject) -> bytes:
    """/proc/PID/limits."""
    text = f"{'Limit':<26}{'Soft Limit':<21}{'Hard Limit':<21}{'Units':<10}\n"
    for name, number, unit in _ROWS:
        soft, hard = subject.process.rlimits.get(number, _UNLIMITED)
        mm = subject.mm
        if number in MM_LIMITS and mm is not None:
            soft = getattr(mm.limits, MM_LIMITS[number])
        text += f"{name:<26}{_shown(soft):<21}{_shown(hard):<21}{unit:<10}\n"
    return text.encode()


def io(subject: Subject) -> bytes:
    """/proc/PID/io: calls are counted, bytes are not; nothing goes to a disk."""
    calls = subject.process.ledger.syscalls
    reads, writes = (sum(calls[number] for number in numbers) for numbers in (_READS, _WRITES))
    rows = ("rchar", 0), ("wchar", 0), ("syscr", reads), ("syscw", writes), ("read_bytes", 0), ("write_bytes", 0)
    return "".join(f"{name}: {value}\n" for name, value in (*rows, ("cancelled_write_bytes", 0))).encode()


def cgroup(_subject: Subject) -> bytes:
    """/proc/PID/cgroup: all are in the root group."""
    return b"0::/\n"


def wchan(_subject: Subject) -> bytes:
    """/proc/PID/wchan: there are no kernel functions to wait in."""
    return b"0"
