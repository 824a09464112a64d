"""cmdline, environ and auxv: what execve(2) left on the stack (proc(5)).

The strings are read where the program may have changed them, as in Linux, and without bringing anything into memory.
"""

from mini_kernel.fs.proc.views import Subject
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm


def cmdline(subject: Subject) -> bytes:
    """/proc/PID/cmdline; empty for a zombie."""
    mm = subject.mm
    return _read(mm, mm.arguments) if mm else b""


def environ(subject: Subject) -> bytes:
    """/proc/PID/environ; empty for a zombie."""
    mm = subject.mm
    return _read(mm, mm.environment) if mm else b""


def auxv(subject: Subject) -> bytes:
    """/proc/PID/auxv, as it was at execve(2); empty for a zombie."""
    mm = subject.mm
    return mm.auxv if mm else b""


def _read(mm: Mm, where: tuple[int, int]) -> bytes:
    return uaccess.probe(mm, where[0], where[1] - where[0])
