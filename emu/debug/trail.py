"""Going back by looking at the last instructions: over calls, out of functions, to the line before.

They are recorded by a replay, a row each: sixteen registers, RIP, flags.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from emu.debug.events import Switched, Time
from emu.debug.frames import backtrace
from emu.debug.plan import DebugError, ReplayInterrupted
from emu.debug.reverse import give_up, step
from emu.debug.stops import AtBeginning, Stepped, Stop
from emu.machine import RECORD_BYTES
from mini_kernel.x86 import RIP, RSP

if TYPE_CHECKING:
    from collections.abc import Callable

    from emu.debug.debugger import Debugger

Rows = NDArray[np.uint64]
_WORDS: Final = RECORD_BYTES // 8
_WINDOWS: Final = (256, 4096, 65_536, 1 << 20)  # instructions recorded when looking back


class Recording:
    """The instructions of one task before a moment: their numbers (instructions begun before each) and registers."""

    def __init__(self, numbers: NDArray[np.int64], rows: Rows) -> None:
        self.numbers = numbers
        self.rip: list[int] = rows[:, RIP].tolist()
        self.rsp: list[int] = rows[:, RSP].tolist()

    def __len__(self) -> int:
        return len(self.rip)


def record(d: "Debugger", start: int, end: int, tid: int) -> Recording:
    """What a task did between two moments, instructions since boot. The system is at the later one afterwards."""
    d.history.canonical(start)
    first = d.current.tid if d.current else 0
    buffer = np.zeros((end - start + 1, _WORDS), np.uint64)
    d.machine.record_into(buffer.ctypes.data)
    try:
        d.run_quietly(Time(end, 0))
        used = (d.machine.recorded_to() - buffer.ctypes.data) // RECORD_BYTES
    finally:
        d.machine.record_into(0)
    mine = np.zeros(used, np.bool_)
    switches = [e for e in d.log.of(Switched) if start <= e.time.instructions <= end and e.time > Time(start, 0)]
    edges = [start, *(e.time.instructions for e in switches), end]
    owners = [first, *(e.to for e in switches)]
    for owner, low, high in zip(owners, edges, edges[1:], strict=False):
        if owner == tid:
            mine[low - start : high - start] = True
    return Recording(np.flatnonzero(mine) + start, buffer[:used][mine])


def over(d: "Debugger") -> Stop:
    """See Debugger.back_over."""
    return _search(d, _before_call)


def out(d: "Debugger", frame: int = 0) -> Stop:
    """See Debugger.back_out."""
    frames = backtrace(d, limit=frame + 1).frames if d.current is not None else []
    if frame and len(frames) <= frame:
        raise DebugError(f"there is no frame {frame}")
    cfa = frames[frame].cfa if frames else None
    if cfa is None:
        return _search(d, _into_here)
    return _search(d, lambda d, past, here: _below(past, cfa))


def line(d: "Debugger", over: bool) -> Stop:
    """See Debugger.back_line."""
    return _search(d, _line_over if over else _line_into)


def _search(d: "Debugger", choose: "Callable[[Debugger, Recording, tuple[int, int]], int | None]") -> Stop:
    """Go to the instruction that `choose` picks from the last ones, looking farther back until it does."""
    d.history.settle()
    origin = d.now
    if d.current is None:
        return step(d, 1)
    tid, here = d.current.tid, (d.machine.regs[RIP], d.machine.regs[RSP])
    first = d.history.beginning.instructions
    try:
        for width in _WINDOWS:
            start = max(first, origin.instructions - width)
            found = choose(d, record(d, start, origin.instructions, tid), here)
            if found is not None:
                d.history.canonical(found)
                return d.stand(Stepped)
            if start == first:
                break
        d.history.go(d.history.beginning)
    except ReplayInterrupted:
        return give_up(d, origin)
    return d.stand(AtBeginning)


def _before_call(d: "Debugger", past: Recording, here: tuple[int, int]) -> int | None:
    """The instruction before, or the call that has just returned."""
    i = len(past) - 1
    if i < 0:
        return None
    if not _is(d, past.rip[i], "ret"):
        return int(past.numbers[i])
    while i >= 0 and past.rsp[i] < here[1]:
        i -= 1
    return int(past.numbers[i]) if i >= 0 else None


def _into_here(d: "Debugger", past: Recording, here: tuple[int, int]) -> int | None:
    """The call that led into the function: the last one from above its frame."""
    top = here[1]
    for i in range(len(past) - 1, -1, -1):
        if past.rsp[i] > top:
            top = past.rsp[i]
            if _is(d, past.rip[i], "call"):
                return int(past.numbers[i])
    return None


def _below(past: Recording, cfa: int) -> int | None:
    """The last instruction from which the frame below `cfa` was made: a call, or the one before a signal."""
    return next((int(past.numbers[i]) for i in range(len(past) - 1, -1, -1) if past.rsp[i] >= cfa), None)


def _line_into(d: "Debugger", past: Recording, here: tuple[int, int]) -> int | None:
    return _line(d, past, here, False)


def _line_over(d: "Debugger", past: Recording, here: tuple[int, int]) -> int | None:
    return _line(d, past, here, True)


def _line(d: "Debugger", past: Recording, here: tuple[int, int], over: bool) -> int | None:
    """The first instruction of the latest stretch of one line before the one that is being executed.

    In the middle of a line that is its own beginning. Code without lines is passed over.
    """
    extent = d.extent_at(here[0])
    inside = extent if extent is not None and extent[0] != here[0] else None
    found: int | None = None
    i = len(past) - 1
    while i >= 0:
        if over and _is(d, past.rip[i], "ret"):
            after = past.rsp[i + 1] if i + 1 < len(past) else here[1]
            while i >= 0 and past.rsp[i] < after:
                i -= 1  # what was called
            continue
        extent = d.extent_at(past.rip[i])
        inside = inside or extent
        if found is not None and (extent is None or extent != inside):
            return found
        if extent is not None:
            if extent != inside:
                return None
            found = int(past.numbers[i])
        i -= 1
    at_beginning = len(past) > 0 and int(past.numbers[0]) == d.history.beginning.instructions
    return found if at_beginning else None


def _is(d: "Debugger", address: int, mnemonic: str) -> bool:
    instruction = d.decode(address)
    return instruction is not None and instruction.mnemonic.split()[-1] == mnemonic
