"""The system calls, a module per family. Importing the package fills the table."""

from mini_kernel.syscalls import (
    dirs,
    epoll,
    events,
    fcntl,
    files,
    futex,
    identity,
    io,
    memory,
    pin,
    pipes,
    poll,
    priority,
    procs,
    shm,
    signals,
    stat,
    times,
)
from mini_kernel.syscalls.futex import wake as futex_wake
from mini_kernel.syscalls.table import INTERRUPTED, TABLE

__all__ = [
    "INTERRUPTED",
    "TABLE",
    "dirs",
    "epoll",
    "events",
    "fcntl",
    "files",
    "futex",
    "futex_wake",
    "identity",
    "io",
    "memory",
    "pin",
    "pipes",
    "poll",
    "priority",
    "procs",
    "shm",
    "signals",
    "stat",
    "times",
]
