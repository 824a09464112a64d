"""Where the engine keeps the registers: calibration by experiment.

The engine keeps the CPU in one C struct. `uc_context_save` copies its first part out and `uc_context_restore`
copies it back, so a saved context, seen as an array of words, *is* the register file; and once the struct itself
is found in our own address space it can be used in place, with no copy at all. Nothing here is taken on trust:
every position is found or confirmed by writing unlikely values through the documented API and looking where they
appear, and a mismatch raises MachineError before any guest code runs.

Two fields have no register number. `old_exception` is what turns a second page fault into a double fault (the
engine never clears it, so the machine must); it is found as the only 32-bit field that goes from -1 to 14 over one
page fault. The error code lies 112 bytes before it, which the error code of that same fault confirms.
"""

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

from emu.machine.engine import (
    REG_CR2,
    REG_CR3,
    REG_EFLAGS,
    REG_FS_BASE,
    REG_GENERAL,
    REG_GS_BASE,
    REG_RIP,
    Engine,
)
from emu.machine.errors import MachineError
from mini_kernel.x86 import PF_INSTR, PF_USER, USER_CS, USER_DS, VEC_PF

PROBE: Final = tuple(0x5EED_0000_0000_0001 + 0x0101_0101_0101 * i for i in range(16))  # unlikely, all different
_PROBE_BYTES = struct.pack("<16Q", *PROBE)
_PROBE_FLAGS = 0x2 | 0x8D5 | 0x400 | 0x4000  # all arithmetic flags, DF, NT
_CC_OP_EFLAGS = 1  # the lazy-flags state in which cc_src holds the six arithmetic flags

# Order of the engine's struct after the sixteen registers, in words of 8 and half-words of 4 bytes; confirmed below.
WORD_RIP, WORD_EFLAGS, WORD_CC_SRC = 16, 17, 19
HALF_CC_OP, HALF_DF, HALF_HFLAGS = 42, 43, 44
_SEGMENT_BYTES = 24  # selector u32, pad, base u64, limit u32, flags u32; in the order ES CS SS DS FS GS
_ERROR_BEFORE_OLD = 112


@dataclass(frozen=True)
class Fields:
    """Positions in the CPU struct. `word_*` count 8 bytes, `half_*` 4 bytes, from RAX."""

    size: int  # bytes of the struct that a context holds
    word_segments: int
    word_fs_base: int
    word_gs_base: int
    word_cr2: int
    word_cr3: int


@dataclass(frozen=True)
class TrapFields:
    """Positions that only show once an exception has happened."""

    half_old_exception: int
    half_error: int
    half_is_int: int
    word_next_rip: int


class Context:
    """A uc_context: the engine's own copy of the struct, with its place in memory known."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        lib = engine.lib
        self.total: int = lib.uc_context_size(engine.handle)
        self.handle = ctypes.c_void_p()
        if lib.uc_context_alloc(engine.handle, ctypes.byref(self.handle)) or not self.handle.value:
            raise MachineError("uc_context_alloc failed")

    def save(self) -> None:
        """Copy the CPU into the context."""
        self._engine.lib.uc_context_save(self._engine.handle, self.handle)

    def restore(self) -> None:
        """Copy the context into the CPU."""
        self._engine.lib.uc_context_restore(self._engine.handle, self.handle)

    def raw(self) -> bytes:
        """The whole context, header included."""
        return ctypes.string_at(self.handle.value or 0, self.total)

    def close(self) -> None:
        """Free it. Views of it must not be used any more."""
        if self.handle:
            self._engine.lib.uc_context_free(self.handle)
            self.handle = ctypes.c_void_p()


def _only(haystack: bytes, needle: bytes, what: str) -> int:
    """The one place of `needle`; anything but one is a reason not to start."""
    at = haystack.find(needle)
    if at < 0 or haystack.find(needle, at + 1) >= 0:
        raise MachineError(f"calibration: {what} found {haystack.count(needle)} times in the engine's context")
    return at


def write_probe(engine: Engine) -> None:
    """Put the probe values into the sixteen general registers."""
    for register, value in zip(REG_GENERAL, PROBE, strict=True):
        engine.write(register, value)


def header_size(context: Context) -> int:
    """Bytes before the registers in a context. Precondition: `write_probe` was called."""
    context.save()
    return _only(context.raw(), _PROBE_BYTES, "the general registers")


def _expect(ok: bool, what: str) -> None:
    if not ok:
        raise MachineError(f"calibration: {what} is not where this version of the engine keeps it")


def find_fields(engine: Engine, context: Context, header: int) -> Fields:
    """Find the positions that API writes reveal. Leaves the probe values in the registers."""
    place = dict[int, int]()
    for register in (REG_RIP, REG_CR2, REG_CR3, REG_FS_BASE, REG_GS_BASE):
        value = 0x7A5E_0000 + register * 0x1000  # CR3 is cut to 32 bits by the API
        engine.write(register, value)
        context.save()
        place[register] = _only(context.raw()[header:], value.to_bytes(8, "little"), f"register {register}")
        engine.write(register, 0)
    engine.write(REG_EFLAGS, _PROBE_FLAGS)
    context.save()
    words = memoryview(context.raw()[header:]).cast("Q")
    halves = words.cast("B").cast("I")
    _expect(place[REG_RIP] == WORD_RIP * 8, "RIP")
    # The API leaves the arithmetic flags and DF in this word too, where they mean nothing.
    _expect(words[WORD_EFLAGS] & ~0xCD5 == 0x4002 and words[WORD_CC_SRC] == 0x8D5, "RFLAGS")
    _expect(halves[HALF_CC_OP] == _CC_OP_EFLAGS and halves[HALF_DF] == 0xFFFF_FFFF, "the lazy flags")
    engine.write(REG_EFLAGS, 0x2)
    context.save()
    halves = memoryview(context.raw()[header:]).cast("I")
    _expect(halves[HALF_DF] == 1, "the direction flag")
    fs, gs = place[REG_FS_BASE], place[REG_GS_BASE]
    _expect(gs - fs == _SEGMENT_BYTES and fs % 8 == 0, "the segment registers")
    return Fields(
        size=context.total - header,
        word_segments=(fs - 8 - 4 * _SEGMENT_BYTES) // 8,
        word_fs_base=fs // 8,
        word_gs_base=gs // 8,
        word_cr2=place[REG_CR2] // 8,
        word_cr3=place[REG_CR3] // 8,
    )


def find_trap_fields(before: bytes, after: bytes) -> TrapFields:
    """Compare the struct before and after the first page fault, a ring-3 fetch."""
    old, new = memoryview(before).cast("i"), memoryview(after).cast("i")
    places = [i for i in range(len(old)) if old[i] == -1 and new[i] == VEC_PF]
    if len(places) != 1:
        raise MachineError(f"calibration: {len(places)} fields behave like old_exception")
    half_error = places[0] - _ERROR_BEFORE_OLD // 4
    _expect(new[half_error] == PF_USER | PF_INSTR and new[half_error + 1] == 0, "the error code")
    _expect(half_error % 2 == 0, "exception_next_eip")
    return TrapFields(places[0], half_error, half_error + 1, half_error // 2 + 1)


def check_ring3(fields: Fields, state: bytes) -> None:
    """Refuse to go on unless `state` is 64-bit ring 3 with Linux's selectors."""
    words = memoryview(state).cast("Q")
    halves = words.cast("B").cast("I")
    selectors = [words[fields.word_segments + 3 * i] & 0xFFFF for i in range(6)]
    _expect(selectors == [0, USER_CS, USER_DS, 0, 0, 0], "a segment selector")
    _expect(halves[HALF_HFLAGS] & 3 == 3, "the privilege level")


Path2 = tuple[int, int]
_SEARCH_HANDLE: Final = 4096
_SEARCH_CPU: Final = 1 << 17


def _peek(memory: int, size: int, address: int) -> bytes:
    """Our own memory at `address`, or b'' where nothing is mapped: never a SIGSEGV."""
    try:
        return os.pread(memory, size, address)
    except (OSError, OverflowError):
        return b""


def _target(memory: int, handle: int, path: Path2) -> int:
    """The address a path leads to, 0 if it leads nowhere."""
    pointer = _peek(memory, 8, handle + path[0])
    return int.from_bytes(pointer, "little") + path[1] if len(pointer) == 8 else 0


def _search(memory: int, handle: int) -> list[Path2]:
    """Paths (offset in the engine handle, offset behind the pointer found there) to the probe values."""
    head = _peek(memory, _SEARCH_HANDLE, handle)
    paths = list[Path2]()
    for at in range(0, len(head) - 7, 8):
        pointer = int.from_bytes(head[at : at + 8], "little")
        if not pointer & 7 and 0x10000 <= pointer < 1 << 47:
            found = _peek(memory, _SEARCH_CPU, pointer).find(_PROBE_BYTES)
            if found >= 0:
                paths.append((at, found))
    return paths


def find_struct(engine: Engine, known: Path2 | None) -> tuple[int, Path2 | None]:
    """Where the CPU struct of an engine is in our address space; (0, None) if it cannot be found.

    Copies of it (contexts, live or freed) hold the same values, so the registers are changed and a candidate must
    follow. Reads through /proc/self/mem: a wrong guess is an error code and not a crash. A path found once in this
    process is tried first. Leaves the probe values in the registers.
    """
    handle = engine.handle.value or 0
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0, None
    try:
        for paths in ([known] if known else [], None):
            write_probe(engine)
            candidates = _search(memory, handle) if paths is None else paths
            for register in REG_GENERAL:
                engine.write(register, 0)
            found = [path for path in candidates if _peek(memory, 128, _target(memory, handle, path)) == bytes(128)]
            write_probe(engine)
            found = [path for path in found if _peek(memory, 128, _target(memory, handle, path)) == _PROBE_BYTES]
            if found:
                return _target(memory, handle, found[0]), found[0]
        return 0, None
    finally:
        os.close(memory)
