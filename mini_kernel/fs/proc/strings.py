"""cmdline and environ: the strings execve(2) left on the stack, as they are in memory now (proc(5)).

They are read where the program may have changed them, as in Linux, and without bringing anything into memory.
"""

from typing import Final

from mini_kernel.fs.proc.views import Subject
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import STACK_TOP, Mm
from mini_kernel.x86 import PAGE_SIZE, page_down

_FARTHEST: Final = 2 << 20  # bytes: the pointers of the most arguments that execve(2) takes (exec.MAX_ARG_PAGES)

Range = tuple[int, int]


def arguments_of(mm: Mm) -> Range:
    """Where the argument strings begin and end."""
    start, end = mm.arguments
    return start, start + _length(mm, start, end, _argument_count(mm, start))


def environment_of(mm: Mm) -> Range:
    """Where the environment strings begin and end: behind the arguments, before the program's path."""
    start = arguments_of(mm)[1]
    if not start:
        return 0, 0
    top = uaccess.probe(mm, start, STACK_TOP - 8 - start)
    return start, start + top.rfind(b"\0", 0, max(0, len(top) - 1)) + 1


def _argument_count(mm: Mm, start: int) -> int:
    """argc: the word below the first pointer to the first string (psABI 3.4.1); -1 if that was changed."""
    pointer, page = start.to_bytes(8, "little"), page_down(start)
    words = uaccess.probe(mm, page, start - page)
    while page > start - _FARTHEST:
        at = words.rfind(pointer)
        while at % 8 and at >= 0:
            at = words.rfind(pointer, 0, at + 7)
        if at >= 0:
            return _count_before(mm, page + at)
        page -= PAGE_SIZE
        words = uaccess.probe(mm, page, PAGE_SIZE)
        if not words:
            break
    return -1


def _count_before(mm: Mm, address: int) -> int:
    """The word before `address`; 0 if that ends a list: then the first string is not an argument."""
    return int.from_bytes(uaccess.probe(mm, address - 8, 8), "little")


def _length(mm: Mm, start: int, end: int, count: int) -> int:
    """Bytes of the first `count` strings in [start, end); of all if there are not as many."""
    text = uaccess.probe(mm, start, end - start)
    if count < 0 or count > len(text):
        return end - start
    at = 0
    for _ in range(count):
        at = text.find(b"\0", at) + 1
        if not at:
            return end - start
    return at


def cmdline(subject: Subject) -> bytes:
    """/proc/PID/cmdline; empty for a zombie."""
    mm = subject.mm
    return _read(mm, arguments_of(mm)) if mm else b""


def environ(subject: Subject) -> bytes:
    """/proc/PID/environ; empty for a zombie."""
    mm = subject.mm
    return _read(mm, environment_of(mm)) if mm else b""


def _read(mm: Mm, where: Range) -> bytes:
    return uaccess.probe(mm, where[0], where[1] - where[0])
