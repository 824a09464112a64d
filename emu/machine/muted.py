"""The engine's memory hooks fall silent for good: where to wake them up again.

An access that is cut in two (it crosses a page, or stores beside translated code) is made by a call of itself, for
which hooks are off: a word in the engine's struct says so, and how large the access is. If the second half faults, or
the block has to begin anew, the engine leaves by longjmp, and the word stays as it is. `find` finds it; it is to be 0
before every instruction.
"""

import ctypes
import functools
import os
from typing import Final

from emu.machine import engine as uc
from emu.machine.errors import MachineError

_CODE_BUFFER: Final = 1 << 20
_MEMORY: Final = 1 << 16
_LOOKED_AT: Final = 0x2000  # bytes of the struct
#: mov [rip + 2], register; mov rdx, NUMBER; hlt - stores 2 and 8 bytes into the number, which is in its own block.
_STORES: Final = (
    (2, bytes.fromhex("66890d02000000 48ba0000000000000000 f4")),
    (8, bytes.fromhex("48890d02000000 48ba0000000000000000 f4")),
)


@functools.cache
def find() -> int | None:
    """The offset of that word (an int) in what the engine's handle points at; None if it is not to be found.

    Looked for by doing it: the one word that then is the size of the access, for two sizes.
    """
    memory = ctypes.create_string_buffer(2 * _MEMORY)
    start = -ctypes.addressof(memory) % _MEMORY
    at = ctypes.addressof(memory) + start
    try:
        engine = uc.Engine(_CODE_BUFFER)
    except MachineError:
        return None
    try:
        engine.map(at, _MEMORY)
        before = _struct(engine)
        found = {offset for offset in range(0, len(before) - 3, 4) if not _int(before, offset)}
        for number, (size, code) in enumerate(_STORES):
            address = 0x100 * number
            ctypes.memmove(at + address, code, len(code))
            engine.start(address)
            after = _struct(engine)
            found = {offset for offset in found if _int(after, offset) == size}
    except (MachineError, OSError):
        return None
    finally:
        engine.close()
    return found.pop() if len(found) == 1 else None


def _int(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _struct(engine: uc.Engine) -> bytes:
    """As much of the engine's struct as there is memory."""
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), _LOOKED_AT, engine.handle.value or 0)
