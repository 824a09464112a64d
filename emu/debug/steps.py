"""Many single steps at once: every instruction with the registers before it, left in host memory by native code.

The engine is not stopped between instructions, so this is what to use where nobody has to look in between: traces,
profiles, searches. Breakpoints, watchpoints and catchpoints stop it as they stop `cont`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.debug.events import Switched, Time
from emu.debug.runner import DebugError, Plan, Runner
from emu.debug.stops import LimitReached, Stop
from emu.machine import RECORD_BYTES

MAX_AT_ONCE: Final = 1 << 22
_WORDS: Final = RECORD_BYTES // 8


class Steps(NamedTuple):
    """A stretch of a run.

    first    instructions begun before the first row
    rows     one for each instruction: x86.RAX .. x86.RIP as they were before it, then five words of lazy flags
    tids     whose each was
    stop     why it ended; LimitReached if all was done that was asked for
    """

    first: int
    rows: NDArray[np.uint64]
    tids: NDArray[np.int32]
    stop: Stop

    @property
    def complete(self) -> bool:
        """True if nothing stopped it early."""
        return isinstance(self.stop, LimitReached)


def steps(d: Runner, count: int) -> Steps:
    """The next `count` instructions, of whichever tasks run. Raises DebugError if nothing runs any more."""
    if not 0 < count <= MAX_AT_ONCE:
        raise DebugError(f"between 1 and {MAX_AT_ONCE} steps at once, not {count}")
    if d.current is None:
        raise DebugError("nothing is running any more")
    first, tid, began = d.now.instructions, d.current.tid, d.now
    buffer = np.empty((count + 1, _WORDS), np.uint64)
    d.machine.record_into(buffer.ctypes.data)
    try:
        stop = d.run(Plan(limit=first + count))
        done = (d.machine.recorded_to() - buffer.ctypes.data) // RECORD_BYTES
    finally:
        d.machine.record_into(0)
    return Steps(first, buffer[:done], _owners(d, began, tid, done), stop)


def _owners(d: Runner, began: Time, tid: int, done: int) -> NDArray[np.int32]:
    """Whose instructions these are, from the switches in the log."""
    tids = np.full(done, tid, np.int32)
    for event in reversed(list(_switches_since(d, began))):
        tids[event.time.instructions - began.instructions :] = event.to
    return tids


def _switches_since(d: Runner, began: Time) -> list[Switched]:
    """The latest first."""
    found: list[Switched] = []
    for event in d.log.before(d.now):
        if event.time <= began:
            break
        if isinstance(event, Switched):
            found.append(event)
    return found
