"""The system call table: number -> handler, filled by the modules of this package at import."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel.errors import KernelBug

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

#: A handler takes (kernel, task, *arguments), arguments as unsigned 64-bit numbers, and returns the value for RAX.
Handler = Callable[..., int]


class Entry(NamedTuple):
    """One system call."""

    handler: Handler
    arity: int  # arguments it takes from RDI RSI RDX R10 R8 R9


TABLE: Final[dict[int, Entry]] = {}
#: Calls with something to report when a signal handler cuts them short.
INTERRUPTED: Final[dict[int, Callable[..., None]]] = {}


def syscall(number: int) -> Callable[[Handler], Handler]:
    """Register the decorated function `(k: Kernel, t: Task, ...) -> int` for this number."""

    def register(handler: Handler) -> Handler:
        if number in TABLE:
            raise KernelBug(f"system call {number} has two handlers")
        TABLE[number] = Entry(handler, handler.__code__.co_argcount - 2)
        return handler

    return register


def call(k: "Kernel", t: "Task", number: int, arguments: tuple[int, ...]) -> int:
    """Call a handler that is known to exist with the first of these six arguments (another syscall's body)."""
    entry = TABLE[number]
    return entry.handler(k, t, *arguments[: entry.arity])


def s32(value: int) -> int:
    """The low 32 bits as a signed number: an `int` argument."""
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value & 0x8000_0000 else value


def s64(value: int) -> int:
    """A signed 64-bit number: a `long` argument."""
    return value - (1 << 64) if value >> 63 else value


def u32(value: int) -> int:
    """The low 32 bits: an `unsigned int` argument."""
    return value & 0xFFFF_FFFF
