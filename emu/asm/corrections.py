"""Encodings of Keystone 0.9.2 that are known to be wrong, and what is right instead.

Each is repaired here before emu.asm.verify looks at it, so that a repair that is wrong itself is found too.
"""

from collections.abc import Sequence
from typing import Final

from emu.asm.errors import SourceError
from emu.asm.operands import SEGMENTS
from emu.asm.verify import Want

#: Takes the place of every displacement that is not settled yet, or that may have to be made absolute.
DISP_PLACEHOLDER: Final = 0x6B4D_2F17
_PATTERN: Final = DISP_PLACEHOLDER.to_bytes(4, "little")


def corrected(mnemonic: str, wants: Sequence[Want], absolute: bool, data: bytes) -> tuple[bytes, int]:
    """The right bytes, and where the placeholder of a displacement is in them (-1: nowhere)."""
    if mnemonic == "nop" and len(wants) == 1:
        data = _long_nop(data)
    if mnemonic == "mov" and len(wants) == 2 and wants[0].kind == "mem" and wants[1].reg in SEGMENTS:
        data = data.replace(b"\x66", b"", 1) if b"\x66" in data[:2] else data
    at = data.find(_PATTERN)
    return _absolute(data, at) if absolute else (data, at)


def _long_nop(data: bytes) -> bytes:
    """0F 18 /4, a hint reserved for later CPUs, becomes 0F 1F /0, the nop of SDM vol. 2."""
    at = data.find(b"\x0f\x18")
    return data if at < 0 else data[:at] + bytes([0x0F, 0x1F, data[at + 2] & 0xC7]) + data[at + 3 :]


def _absolute(data: bytes, at: int) -> tuple[bytes, int]:
    """Turns [rip + disp32] into [disp32]: ModRM r/m 101 with mod 00 becomes a SIB byte without base and index.

    Source: SDM vol. 2 table 2-3; 2.2.1.6 (in 64-bit mode the short form means rip-relative, the SIB form absolute).
    """
    if at < 1 or data[at - 1] & 0xC7 != 0x05:
        raise SourceError("this instruction cannot take an absolute address")
    return data[: at - 1] + bytes([data[at - 1] & 0x38 | 0x04, 0x25]) + data[at:], at + 1
