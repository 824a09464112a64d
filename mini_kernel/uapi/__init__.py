"""The user-space interface of Linux on x86-64: numbers and byte layouts, no behaviour.

One module per family of constants (named after the manual page or header), and `structs` for the layouts.
This is all of the kernel that `userland` may import.
"""

from mini_kernel.uapi import (
    auxv,
    errno,
    fcntl,
    futex,
    inotify,
    ioctls,
    ipc,
    misc,
    mman,
    numbers,
    poll,
    prctl,
    resource,
    sched,
    signal,
    socket,
    time,
    wait,
)

__all__ = ["constants", "errno_names", "signal_names", "syscall_names"]

_ERRNO_ALIASES = {"EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"}
_SIGNAL_ALIASES = {"SIGIOT", "SIGPOLL", "SIGUNUSED", "SIGSTKSZ", "SIGRTMIN", "SIGRTMAX"}

#: errno -> name, without aliases.
errno_names: dict[int, str] = {
    value: name for name, value in vars(errno).items() if name[0] == "E" and name not in _ERRNO_ALIASES
}
#: system call number -> name without `SYS_`.
syscall_names: dict[int, str] = {value: name[4:] for name, value in vars(numbers).items() if name.startswith("SYS_")}
#: signal number -> name; the real-time ones as strace writes them.
signal_names: dict[int, str] = {
    value: name
    for name, value in vars(signal).items()
    if name.startswith("SIG") and "_" not in name and not name.startswith("SIGEV") and name not in _SIGNAL_ALIASES
} | {32: "SIGRTMIN", **{32 + n: f"SIGRT_{n}" for n in range(1, 33)}}


def constants() -> dict[str, int]:
    """Every public integer constant by name: what assembler sources may use as symbols."""
    modules = (
        auxv, errno, fcntl, futex, inotify, ioctls, ipc, misc, mman, numbers, poll, prctl, resource, sched, signal,
        socket, time, wait,
    )  # fmt: skip
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.lstrip("_")[:1].isupper() and isinstance(value, int)
    }
