"""Which line of the program under test is behind what the C library does: `ring_new` called mmap, not `mmap` itself."""

from array import array
from typing import Final

from emu.peek import peek
from emu.symbols import ImageSymbols, Symbols
from mini_kernel.mm.mm import Mm

_DEPTH: Final = 4096  # bytes of stack that are searched
_LONGEST_CALL: Final = 7  # bytes: call [base + index*8 + disp32] with a prefix


def origin(symbols: Symbols, mm: Mm, rip: int, rsp: int) -> int:
    """`rip` where its source line is known; else the newest call on the stack that has one, else `rip`.

    A value on the stack counts as a return address if a call ends there: code of a library keeps no frame pointers.
    """
    if isinstance(symbols, ImageSymbols) or symbols.line(rip):
        return rip
    names = symbols.names
    if not names:
        return rip
    low, high = min(names), max(end for _name, end in names.values())
    stack = peek(mm, rsp, _DEPTH)
    for value in array("Q", stack[: len(stack) & -8]):
        if low <= value < high and symbols.line(value - 1) and _ends_a_call(peek(mm, value - _LONGEST_CALL, 7)):
            return value - 1
    return rip


def _ends_a_call(code: bytes) -> bool:
    """True if these seven bytes end in `call rel32` or `call r/m64` (FF /2)."""
    if len(code) < _LONGEST_CALL:
        return False
    return code[-5] == 0xE8 or any(code[-n] == 0xFF and code[1 - n] >> 3 & 7 == 2 for n in (2, 3, 4, 6, 7))
