"""Floating-point numbers of NASM source (NASM manual, 3.4.6)."""

import struct
from fractions import Fraction
from typing import Final

from emu.asm.errors import SourceError
from emu.asm.lexer import Token

#: Words that make an integer of the encoding of a number: __float32__(1.5).
FUNCTIONS: Final = {
    **{f"__float{8 * width}__": width for width in (4, 8)},
    **{f"__?float{8 * width}?__": width for width in (4, 8)},
}


def floating(token: Token, sign: int, width: int) -> bytes:
    """IEEE 754 numbers of 4, 8 or 10 bytes, rounded to the nearest."""
    text = token.text
    if width not in (4, 8, 10):
        raise SourceError(f"a floating-point number has 4, 8 or 10 bytes, not {width}", token.column)
    if width == 10:
        return _extended(Fraction(text), sign)
    try:
        return struct.pack("<f" if width == 4 else "<d", sign * float(text))
    except OverflowError:
        raise SourceError("number is too large for this width", token.column) from None


def _extended(value: Fraction, sign: int) -> bytes:
    """80 bits: a 64-bit significand with its leading 1, 15 bits of exponent biased by 16383, the sign."""
    if not value:
        return bytes(9) + (b"\x80" if sign < 0 else b"\0")
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    significand = round(value / Fraction(2) ** (exponent - 63))
    if significand == 1 << 64:
        significand, exponent = 1 << 63, exponent + 1
    return struct.pack("<QH", significand, exponent + 16383 | (0x8000 if sign < 0 else 0))
