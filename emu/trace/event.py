"""One event of a run."""

from typing import Final, NamedTuple

from mini_kernel.uapi import syscall_names
from mini_kernel.x86 import PF_INSTR, PF_WRITE

#: What can be recorded, in the order of the documentation; a filter names them in the plural.
KINDS: Final = ("syscall", "fault", "signal", "fork", "exit", "table", "frame", "insn")


class Event(NamedTuple):
    """What happened to whom, and where the program was. Without addresses, times and host values: names instead.

    kind    one of KINDS
    who     p1 is the first process, p2 the next that was forked, p2.3 the thread 3 of it
    name    of the system call, the fault's class, the signal, the kind of fork, ...
    text    the rest: arguments, what was accessed
    result  of a system call, else ""
    place   `label+0x12`, or in compiled code the `function`; "" where no source line is known
    at      the address behind `place`, for this run only
    """

    kind: str
    who: str
    name: str
    text: str = ""
    result: str = ""
    place: str = ""
    at: int = 0


def call_name(number: int) -> str:
    """A system call's name, or its number in words."""
    return syscall_names.get(number) or f"syscall_{number:#x}"


def access_name(error: int) -> str:
    """What a page fault's error code says was tried: read, write or fetch."""
    return "write" if error & PF_WRITE else "fetch" if error & PF_INSTR else "read"
