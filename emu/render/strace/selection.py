"""`-e trace=SET`: which system calls are printed."""

from collections.abc import Callable
from typing import Final

from emu.errors import EmuError
from emu.render.strace import signatures
from mini_kernel.uapi import syscall_names

_MEMORY: Final = frozenset((
    "brk", "madvise", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", "munlock",
    "munlockall", "munmap", "sfork", "shmat", "shmdt", "remap_file_pages", "pkey_mprotect",
))  # fmt: skip
_PROCESS: Final = frozenset((
    "clone", "clone3", "execve", "execveat", "exit", "exit_group", "fork", "kill", "odfork", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "sfork", "tgkill", "tkill", "vfork", "wait4", "waitid",
))  # fmt: skip
_IPC: Final = frozenset((
    "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt",
    "shmget",
))  # fmt: skip
_SIGNAL: Final = frozenset((
    "kill", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "signalfd", "signalfd4", "tgkill", "tkill",
))  # fmt: skip
_DESCRIPTOR_KINDS: Final = frozenset(("fd", "dirfd", "opipe", "pollfds", "fdset"))
_MORE_DESCRIPTORS: Final = frozenset((
    "epoll_create", "epoll_create1", "eventfd", "eventfd2", "memfd_create", "timerfd_create", "open", "creat",
))  # fmt: skip


def _is_file(name: str) -> bool:
    return "path" in signatures.kinds(name)


def _is_descriptor(name: str) -> bool:
    return name in _MORE_DESCRIPTORS or not _DESCRIPTOR_KINDS.isdisjoint(signatures.kinds(name))


#: The classes of strace that mean something here.
CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "file": _is_file,
    "process": _PROCESS.__contains__,
    "ipc": _IPC.__contains__,
    "memory": _MEMORY.__contains__,
    "signal": _SIGNAL.__contains__,
    "desc": _is_descriptor,
}


class Selection:
    """A set of system calls. Built from the text behind -e: `trace=open,close`, `trace=!%memory`, `%file`."""

    def __init__(self, text: str = "all") -> None:
        """Raises EmuError for a name or class that does not exist."""
        kind, equals, rest = text.partition("=")
        if equals and kind not in ("trace", "t"):
            raise EmuError(f"-e {text}: only trace=SET is understood")
        expression = rest if equals else text
        self._inverted = expression.startswith("!")
        self._names = _expand(expression.removeprefix("!"))

    def __contains__(self, name: str) -> bool:
        return (name in self._names) is not self._inverted


def _expand(expression: str) -> frozenset[str]:
    known = set(syscall_names.values())
    found: set[str] = set()
    for word in expression.split(","):
        if word == "all":
            found |= known
        elif word == "none":
            continue
        elif word.startswith("%") and word[1:] in CLASSES:
            found |= {name for name in known if CLASSES[word[1:]](name)}
        elif word in known:
            found.add(word)
        elif word.startswith("?"):
            found |= known & {word[1:]}
        else:
            classes = ", ".join(f"%{name}" for name in CLASSES)
            raise EmuError(f"-e: no system call or class {word!r} (classes: {classes}, all, none)")
    return frozenset(found)
