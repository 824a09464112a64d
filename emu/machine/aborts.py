"""The engine's translator calls abort(3) for instructions that it has forgotten to refuse.

`lock bt/bts/btr/btc` on a register is one (hardware: #UD); nothing says that it is the last. A guest must not be
able to end the host process, so the engine's reference to `abort` leads to a stub of ours (native.ABORT_CODE). It
raises #UD on the engine's CPU the way the translator itself does when a fetch faults half-way through a block: by a
long jump out of the translation, which the engine is made to survive. The state is that of the start of the block; the
machine then steps to the instruction itself.

The reference is the library's own entry for `abort` in its global offset table, found through its dynamic section (ELF
gABI, "Dynamic Section"; psABI x86-64, R_X86_64_JUMP_SLOT). Other libraries keep the real one, and outside a run so does
this one.
"""

import ctypes
from functools import cache
from typing import Any, Final

import numpy as np

from emu.machine import native
from emu.machine.engine import library, library_path

_THROW: Final = "raise_exception_x86_64"  # of the engine: (CPUX86State *env, int vector), does not return
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_JMPREL = 2, 5, 6, 10, 23
_PT_DYNAMIC: Final = 2
_JUMP_SLOT: Final = 7
_SYMBOL_WORDS: Final = 3  # Elf64_Sym; the name is the low half of the first
_LOW: Final = np.uint64(0xFFFF_FFFF)


def _base() -> int:
    """Where the engine's library is loaded."""
    wanted = str(library_path().resolve())
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.rstrip().endswith(wanted):
                return int(line.partition("-")[0], 16)
    raise OSError(f"{wanted} is not mapped")


def _words(address: int, n: int) -> Any:
    return np.frombuffer(ctypes.string_at(address, 8 * n), np.uint64)


def _dynamic(base: int) -> dict[int, int]:
    """The library's dynamic section: tag -> value."""
    header = ctypes.string_at(base, 64)
    phoff = int.from_bytes(header[32:40], "little")
    for i in range(int.from_bytes(header[56:58], "little")):
        entry = ctypes.string_at(base + phoff + 56 * i, 56)
        if int.from_bytes(entry[:4], "little") == _PT_DYNAMIC:
            address, size = (int.from_bytes(entry[at : at + 8], "little") for at in (16, 40))
            pairs = _words(base + address, size // 8).reshape(-1, 2)
            return {int(tag): int(value) for tag, value in pairs if tag}
    raise OSError("the engine's library has no dynamic section")


def _slot_of(name: bytes) -> int:
    """The address of the library's global offset table entry for a function it imports."""
    base = _base()
    tags = _dynamic(base)
    tables = {tag: value if value > base else base + value for tag, value in tags.items()}  # some loaders relocate them
    strings = ctypes.string_at(tables[_DT_STRTAB], tags[_DT_STRSZ])
    at = strings.index(b"\0" + name + b"\0") + 1
    relocations = _words(tables[_DT_JMPREL], tags[_DT_PLTRELSZ] // 8).reshape(-1, 3)
    symbols, kinds = relocations[:, 1] >> np.uint64(32), relocations[:, 1] & _LOW
    names = _words(tables[_DT_SYMTAB], _SYMBOL_WORDS * (int(symbols.max()) + 1))[::_SYMBOL_WORDS] & _LOW
    found = np.flatnonzero((kinds == _JUMP_SLOT) & (names[symbols] == at))
    if len(found) != 1:
        raise OSError(f"the engine's library has {len(found)} references to {name.decode()}")
    return base + int(relocations[found[0], 0])


@cache
def _install() -> native.AbortCells:
    """Lead the engine's `abort` to the stub. Raises OSError or AttributeError where that is impossible."""
    stubs = native.load()
    if stubs is None:
        raise OSError("no executable memory")
    throw = getattr(library(), _THROW)  # loads it
    slot = ctypes.c_uint64.from_address(_slot_of(b"abort"))
    cells = stubs.abort_cells
    cells.throw = native.address_of(throw)
    cells.real = native.address_of(ctypes.CDLL(None).abort)
    slot.value = stubs.abort
    return cells


def guard() -> native.AbortCells | None:
    """See to it, once a process, that an abort of the engine becomes #UD; None where that is impossible."""
    try:
        return _install()
    except (OSError, ValueError, KeyError, AttributeError):
        return None
