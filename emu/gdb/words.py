"""The words of packets: numbers are hexadecimal. All raise ValueError for what is not one."""

import zlib
from typing import Final

from emu.gdb import description
from emu.gdb.target import Action

_BITS_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def register_number(text: bytes) -> int:
    """A register's number. Raises ValueError for one that is not there."""
    number = int(text, 16)
    if not 0 <= number < len(description.REGISTERS):
        raise ValueError(number)
    return number


def extent(text: bytes) -> tuple[int, int]:
    """address,length."""
    first, second = text.split(b",")
    address, length = int(first, 16), int(second, 16)
    if address < 0 or length < 0 or address + length > 1 << 64:
        raise ValueError(text)
    return address, length


def crc32(data: bytes) -> int:
    """gdb's checksum: zlib's polynomial, but the highest bit of a byte first, and the result not inverted."""
    reflected = zlib.crc32(data.translate(_BITS_REVERSED)) ^ 0xFFFF_FFFF
    return int(f"{reflected:032b}"[::-1], 2)


def thread_id(text: bytes) -> tuple[int, int]:
    """pPID.TID, pPID or TID, each hexadecimal, 0 for any, -1 for all."""
    if not text.startswith(b"p"):
        return 0, int(text, 16)
    process, dot, thread = text[1:].partition(b".")
    return int(process, 16), int(thread, 16) if dot else -1


def action_of(text: bytes) -> Action:
    """One action of vCont: c, s, t, rSTART,END, or C and S with a signal of gdb's."""
    kind = text[:1].lower().decode("ascii")
    if kind == "r":
        start, end = (int(n, 16) for n in text[1:].split(b","))
        return Action("r", 0, start, end)
    if kind not in ("c", "s", "t"):
        raise ValueError(text)
    signo = description.signal_to_linux(int(text[1:], 16)) if text[:1] in b"CS" else 0
    return Action(kind, signo)


def xml_text(text: str) -> str:
    """Text for an attribute; what cannot be printed becomes `?`."""
    return "".join(c if c.isalnum() or c in " _-./" else f"&#{ord(c)};" if c.isprintable() else "?" for c in text)
