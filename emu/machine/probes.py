"""The structures behind the host machine code of stubs.py, and the code in executable memory."""

import ctypes
from collections.abc import Set as AbstractSet
from typing import Final

from emu.machine import native
from emu.machine.stubs import ACCESS_CODE, GO_CODE, JUMP_CODE, STEP_CODE

#: What a step leaves in the ring: 16 registers, RIP, and the five words of the lazy flags (see native.Counter).
RECORD_WORDS: Final = 22
RECORD_BYTES: Final = RECORD_WORDS * 8

#: What GO_CODE returns: the budget is used up, stopped before an instruction, or anything else.
BUDGET, PROBE, ODD = 0, 1, 2
#: `Probe.hit`
HIT, TICK = 1, 2
#: `Probe.mode`
OUTSIDE, ABOVE, JUMPED = 1, 2, 4

EVERYWHERE: Final = 1 << 30
_FILTER_SIZE: Final = 4096
_FRAMES_SIZE: Final = 65536
_SPACING: Final = 1024


class Probe(native.Counter):
    """What STEP_CODE finds at `user_data`, behind the fields it shares with CODE_CODE.

    resume       address of the instruction that is let pass, once
    hit          HIT when a stop was for `filter` or `mode`, TICK when for `tick_at`
    filter       address of the byte table
    mode         OUTSIDE | ABOVE | JUMPED
    low, length  of the range that OUTSIDE is about
    stack        the limit of ABOVE
    end          where the last instruction begun ends
    rcx, r11     these registers before it, which `syscall` destroys
    ring         where the next record goes, 0 for nowhere
    jumps        instructions begun that did not lie behind the one before
    tick_at      the value of `jumps` at which to stop, before the next jump counts
    before       `jumps` as it was before the last instruction begun
    stored       1 if user code has stored since
    rsp          this register before it
    muted        address of the engine's word that silences memory hooks (see muted.py)

    For GO_CODE:

    handle       of the engine
    start, read  addresses of uc_emu_start and uc_reg_read
    blocks       address of the block counter
    chunk        blocks after which to come back
    guard        address of native.AbortCells, or 0
    eflags       as they are now
    error        the uc_err it ended with
    """

    resume: int
    hit: int
    filter: int
    mode: int
    low: int
    length: int
    stack: int
    end: int
    rcx: int
    r11: int
    ring: int
    jumps: int
    tick_at: int
    handle: int
    start: int
    read: int
    blocks: int
    chunk: int
    guard: int
    eflags: int
    error: int
    before: int
    stored: int
    rsp: int
    muted: int
    _fields_ = [  # noqa: RUF012  # as for every ctypes.Structure; the rule knows only direct subclasses
        ("resume", ctypes.c_uint64),
        ("hit", ctypes.c_uint64),
        ("filter", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("low", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("rcx", ctypes.c_uint64),
        ("r11", ctypes.c_uint64),
        ("ring", ctypes.c_uint64),
        ("jumps", ctypes.c_uint64),
        ("tick_at", ctypes.c_uint64),
        ("handle", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("read", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("chunk", ctypes.c_uint64),
        ("guard", ctypes.c_uint64),
        ("eflags", ctypes.c_uint64),
        ("error", ctypes.c_uint64),
        ("before", ctypes.c_uint64),
        ("stored", ctypes.c_uint64),
        ("rsp", ctypes.c_uint64),
        ("muted", ctypes.c_uint64),
    ]


def word_of(field: str) -> int:
    """Where a field of a Probe is, in words from its beginning."""
    return getattr(Probe, field).offset // 8


class JumpCounter(ctypes.Structure):
    """What JUMP_CODE finds at `user_data`: `left` and `stop` of native.Counter, then fields as of a Probe."""

    left: int
    stop: int
    end: int
    jumps: int
    tick_at: int
    hit: int
    _fields_ = [
        ("left", ctypes.c_int64),
        ("stop", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("jumps", ctypes.c_uint64),
        ("tick_at", ctypes.c_uint64),
        ("hit", ctypes.c_uint64),
    ]


class AccessFrame(ctypes.Structure):
    """What ACCESS_CODE finds.

    close    where Python is called
    frames   address of the table of frames
    limit    PAGE_SIZE or EVERYWHERE
    stored   address of a word that is set for every store
    """

    close: int
    frames: int
    limit: int
    stored: int
    _fields_ = [
        ("close", ctypes.c_uint64),
        ("frames", ctypes.c_uint64),
        ("limit", ctypes.c_uint64),
        ("stored", ctypes.c_uint64),
    ]


class Tables:
    """The two byte tables, 0 everywhere: `steps` by the low bits of an address, `frames` by those of a frame number."""

    def __init__(self) -> None:
        self._marked: AbstractSet[int] = frozenset()
        self._watched: AbstractSet[int] = frozenset()
        self.steps = (ctypes.c_ubyte * _FILTER_SIZE)()
        self.frames = (ctypes.c_ubyte * _FRAMES_SIZE)()

    def mark_steps(self, addresses: AbstractSet[int]) -> None:
        """Stop before instructions at these addresses, and at no others but by accident."""
        if addresses == self._marked:
            return
        self._marked = addresses
        ctypes.memset(self.steps, 0, _FILTER_SIZE)
        for address in addresses:
            self.steps[address & _FILTER_SIZE - 1] = 1

    def mark_frames(self, frames: AbstractSet[int]) -> None:
        """Look at accesses to these frames."""
        if frames == self._watched:
            return
        self._watched = frames
        ctypes.memset(self.frames, 0, _FRAMES_SIZE)
        for pfn in frames:
            self.frames[pfn & _FRAMES_SIZE - 1] = 1


class Probes:
    """The four in an executable page: addresses of `step`, `access` and `jump`; `go`, to call with a Probe's."""

    def __init__(self, pages: native.CodePages) -> None:
        self.step, self.access, self.jump, go = (pages.address + _SPACING * i for i in range(4))
        self.go = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(go)
        self._pages = pages


def load() -> Probes | None:
    """Put them into executable memory; None where that is impossible."""
    pages = native.map_code((STEP_CODE, ACCESS_CODE, JUMP_CODE, GO_CODE), _SPACING)
    return Probes(pages) if pages is not None else None
