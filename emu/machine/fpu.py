"""The FXSAVE64 image (SDM vol. 1, 10.5.1, table 10-2), built and taken apart.

     0  FCW u16, FSW u16, FTW u8 (bit i: physical register i is in use), 0, FOP u16
     8  FIP u64, FDP u64
    24  MXCSR u32, MXCSR_MASK u32
    32  ST0..ST7 in stack order, 16 bytes each, 10 used
   160  XMM0..XMM15, 16 bytes each
   416  unused up to 512

The registers go through the engine's API, which also updates the rounding modes derived from FCW and MXCSR.
"""

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


def _u16(engine: Engine, register: int) -> int:
    return int.from_bytes(engine.read(register, 2), "little")


def read_fxsave(engine: Engine) -> bytes:
    """The image of the CPU's x87 and SSE state."""
    status, tags = _u16(engine, REG_FPSW), _u16(engine, REG_FPTAG)
    used = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != _TAG_EMPTY)
    mxcsr = int.from_bytes(engine.read(REG_MXCSR, 4), "little")
    fip, fdp = (int.from_bytes(engine.read(register), "little") for register in (REG_FIP, REG_FDP))
    fop = _u16(engine, REG_FOP)
    head = struct.pack("<HHBxHQQII", _u16(engine, REG_FPCW), status, used, fop, fip, fdp, mxcsr, _MXCSR_MASK)
    top = status >> 11 & 7
    stack = b"".join(engine.read(REG_FP0 + (top + i) % 8, 10) + bytes(6) for i in range(8))
    xmm = b"".join(engine.read(REG_XMM0 + i, 16) for i in range(16))
    return (head + stack + xmm).ljust(FXSAVE_SIZE, b"\0")


def write_fxsave(engine: Engine, image: bytes) -> None:
    """Load the CPU's x87 and SSE state from an image of 512 bytes (else ValueError).

    Reserved MXCSR bits are dropped; the hardware instruction would fault (SDM vol. 2, FXRSTOR).
    """
    if len(image) != FXSAVE_SIZE:
        raise ValueError(f"an FXSAVE image has {FXSAVE_SIZE} bytes, not {len(image)}")
    control, status, used, fop, fip, fdp, mxcsr = struct.unpack_from("<HHBxHQQI", image)
    top = status >> 11 & 7
    for i in range(8):
        engine.write(REG_FP0 + (top + i) % 8, image[32 + 16 * i : 42 + 16 * i])
    for i in range(16):
        engine.write(REG_XMM0 + i, image[160 + 16 * i : 176 + 16 * i])
    engine.write(REG_FPTAG, sum(_TAG_EMPTY << 2 * i for i in range(8) if not used >> i & 1))
    engine.write(REG_FPSW, status)
    engine.write(REG_FPCW, control)
    for register, value in ((REG_FOP, fop), (REG_FIP, fip), (REG_FDP, fdp)):
        engine.write(register, value)
    engine.write(REG_MXCSR, mxcsr & _MXCSR_MASK)
