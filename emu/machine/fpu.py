"""The FXSAVE64 image (SDM vol. 1, 10.5.1, table 10-2), built and taken apart.

     0  FCW u16, FSW u16, FTW u8 (bit i: physical register i is in use), 0, FOP u16
     8  FIP u64, FDP u64
    24  MXCSR u32, MXCSR_MASK u32
    32  ST0..ST7 in stack order, 16 bytes each, 10 used
   160  XMM0..XMM15, 16 bytes each
   416  unused up to 512

The registers go through the engine's API, which also updates the rounding modes derived from FCW and MXCSR; all in one
call, since every signal handler costs one image each way.
"""

import ctypes
import struct
from typing import Final

from emu.machine.engine import (
    REG_FDP,
    REG_FIP,
    REG_FOP,
    REG_FP0,
    REG_FPCW,
    REG_FPSW,
    REG_FPTAG,
    REG_MXCSR,
    REG_XMM0,
    Engine,
)

FXSAVE_SIZE: Final = 512
_MXCSR_MASK: Final = 0xFFFF
_TAG_EMPTY: Final = 3
_FP, _XMM = 0, 8  # slots of the register file below
#: Written in this order: a write to an x87 register changes its tag.
_REGISTERS: Final = (
    *range(REG_FP0, REG_FP0 + 8), *range(REG_XMM0, REG_XMM0 + 16),
    REG_FPTAG, REG_FPSW, REG_FPCW, REG_FOP, REG_FIP, REG_FDP, REG_MXCSR,
)  # fmt: skip
_FTAG, _FSW, _FCW, _FOP, _FIP, _FDP, _MXCSR = range(24, 31)
_SLOT: Final = 16  # bytes


class Fpu:
    """The CPU's x87 and SSE state, read and written as an image."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        count = len(_REGISTERS)
        slots = (ctypes.c_ubyte * (_SLOT * count))()
        start = ctypes.addressof(slots)
        self._bytes = memoryview(slots).cast("B")
        self._words = self._bytes.cast("Q")
        self._numbers = (ctypes.c_int * count)(*_REGISTERS)
        self._pointers = (ctypes.c_void_p * count)(*(start + _SLOT * i for i in range(count)))

    def _word(self, slot: int, bits: int) -> int:
        return self._words[2 * slot] & (1 << bits) - 1

    def read(self) -> bytes:
        """The image of the CPU's state."""
        self._engine.read_batch(self._numbers, self._pointers)
        status, tags = self._word(_FSW, 16), self._word(_FTAG, 16)
        used = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != _TAG_EMPTY)
        head = struct.pack(
            "<HHBxHQQII", self._word(_FCW, 16), status, used, self._word(_FOP, 16), self._word(_FIP, 64),
            self._word(_FDP, 64), self._word(_MXCSR, 32), _MXCSR_MASK,
        )  # fmt: skip
        top = status >> 11 & 7
        at = [_SLOT * (_FP + (top + i) % 8) for i in range(8)]
        stack = b"".join(bytes(self._bytes[i : i + 10]) + bytes(6) for i in at)
        return (head + stack + self._bytes[_SLOT * _XMM : _SLOT * _FTAG]).ljust(FXSAVE_SIZE, b"\0")

    def write(self, image: bytes) -> None:
        """Load the CPU's state from an image of 512 bytes (else ValueError).

        Reserved MXCSR bits are dropped; the hardware instruction would fault (SDM vol. 2, FXRSTOR).
        """
        if len(image) != FXSAVE_SIZE:
            raise ValueError(f"an FXSAVE image has {FXSAVE_SIZE} bytes, not {len(image)}")
        control, status, used, fop, fip, fdp, mxcsr = struct.unpack_from("<HHBxHQQI", image)
        top = status >> 11 & 7
        for i in range(8):
            at = _SLOT * (_FP + (top + i) % 8)
            self._bytes[at : at + _SLOT] = image[32 + 16 * i : 48 + 16 * i]
        self._bytes[_SLOT * _XMM : _SLOT * _FTAG] = image[160:416]
        tags = sum(_TAG_EMPTY << 2 * i for i in range(8) if not used >> i & 1)
        values = (tags, status, control, fop, fip, fdp, mxcsr & _MXCSR_MASK)
        for slot, value in enumerate(values, _FTAG):
            self._words[2 * slot] = value
        self._engine.write_batch(self._numbers, self._pointers)
