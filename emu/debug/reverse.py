"""Going back: steps by counting, everything else by searching the past for the last moment at which something held.

Steps over calls and lines look at a recording of the last instructions, a row each: sixteen registers, RIP, flags.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.debug.events import Event, SignalDelivered, Switched, Time, Walk
from emu.debug.frames import backtrace
from emu.debug.goals import ANYONE
from emu.debug.points import Point
from emu.debug.runner import DebugError, Plan, ReplayInterrupted
from emu.debug.stops import AtBeginning, BeforeCall, BeforeFault, BeforeSignal, EntryChanged, Interrupted, Stepped, Stop
from emu.machine import RECORD_BYTES
from mini_kernel.x86 import RIP, RSP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from emu.debug.debugger import Debugger

Rows = NDArray[np.uint64]
_WORDS: Final = RECORD_BYTES // 8
_WINDOWS: Final = (256, 4096, 65_536, 1 << 20)  # instructions recorded when looking back


def go(d: "Debugger", when: Time) -> Stop:
    """See Debugger.go."""
    d.history.settle()
    if not d.history.beginning <= when or when > max(d.history.frontier, d.now):
        raise DebugError("that moment is not known")
    origin = d.now
    try:
        d.history.go(when)
    except ReplayInterrupted:
        return _give_up(d, origin)
    return d.stand(Stepped)


def step(d: "Debugger", count: int) -> Stop:
    """See Debugger.back."""
    d.history.settle()
    origin = d.now
    tid = d.current.tid if d.current else _last_task(d)
    if count and _delivered(d, origin, tid):
        d.history.go(origin._replace(entries=origin.entries - 1))
        count -= 1
    for _ in range(count if d.tap.is_behind_own_entry else 0):
        before = d.now
        d.history.canonical(before.instructions)
        if d.now == before:
            break
        count -= 1
        if not d.tap.is_behind_own_entry:
            break
    if not count:
        return d.stand(Stepped)
    try:
        if not _go_earlier(d, ANYONE if d.follow == "both" else tid, count):
            d.history.go(d.history.beginning)
            return d.stand(AtBeginning)
    except ReplayInterrupted:
        return _give_up(d, origin)
    return d.stand(Stepped)


def _last_task(d: "Debugger") -> int:
    """The task that ran last, when none does."""
    return next((event.tid for event in d.log.before(d.now)), 1)


def _go_earlier(d: "Debugger", tid: int, count: int) -> bool:
    """To where a task had begun `count` instructions less; False if that is before the beginning.

    If others ran then, that is before they did, unless the task had given the CPU up in a system call.
    """
    if tid == ANYONE:
        wanted = d.now.instructions - count
        if wanted >= d.history.beginning.instructions:
            d.history.canonical(wanted)
        return wanted >= d.history.beginning.instructions
    for turn in _turns(d, tid):
        begun = turn.end - turn.start
        if count < begun:
            _before(d, turn.end - count, tid)
            return True
        count -= begun
        if count:
            continue
        if turn.before is not None:
            d.history.canonical(turn.before)
            if d.current is not None and d.current.tid == tid:
                return True
        if turn.got is None:
            d.history.canonical(turn.start)
        else:
            d.history.go(turn.got)
        return True
    return False


def _delivered(d: "Debugger", time: Time, tid: int) -> bool:
    """True if at this moment a task has just got a signal."""
    return any(isinstance(event, SignalDelivered) and event.tid == tid for event in d.log.at(time))


def _before(d: "Debugger", instructions: int, tid: int) -> None:
    """To before the instruction after so many: one that is the first of a handler, behind the signal's delivery."""
    for event in d.log.before(Time(instructions + 1, -1)):
        if event.time.instructions < instructions:
            break
        if isinstance(event, SignalDelivered) and event.tid == tid:
            d.history.go(event.time)
            return
    d.history.canonical(instructions)


class _Turn(NamedTuple):
    """A stretch of time in which one task had the CPU: instructions since boot.

    got       when it was switched to, None for the first task of all
    before    the end of its turn before that one, None if there is none
    """

    start: int
    end: int
    got: Time | None
    before: int | None


def _turns(d: "Debugger", tid: int) -> "Iterator[_Turn]":
    """The turns of a task, the latest first; the present one ends now."""
    end = d.now.instructions
    mine = d.current is None or d.current.tid == tid
    waiting: tuple[int, int, Time] | None = None
    for event in d.log.before(d.now):
        if not isinstance(event, Switched):
            continue
        if mine:
            waiting = event.time.instructions, end, event.time
        end, mine = event.time.instructions, event.tid == tid
        if mine and waiting is not None:
            yield _Turn(*waiting, end)
            waiting = None
    if waiting is not None:
        yield _Turn(*waiting, None)
    if mine:
        yield _Turn(d.history.beginning.instructions, end, None, None)


# -- to the last moment at which something held ------------------------------------------------------------


def cont(d: "Debugger", event: type[Event] | None = None) -> Stop:
    """See Debugger.back_cont and back_to."""
    d.history.settle()
    origin = d.now
    try:
        found = d.history.last_before(
            origin, _order(d), lambda until, below: _collect(d, _plan(event, None, until, below))
        )
        if found is None:
            d.history.go(d.history.beginning)
            return d.stand(AtBeginning)
        return _stand_at(d, found)
    except ReplayInterrupted:
        return _give_up(d, origin)


def last(d: "Debugger", point: Point) -> Stop | None:
    """See Debugger.last."""
    d.history.settle()
    origin = d.now
    with coming_back(d):
        # what has just been done is the past; what it stands before is not
        return d.history.last_before(origin, 1, lambda until, below: _collect(d, _plan(None, point, until, below)))


def _order(d: "Debugger") -> int:
    """The order of the stop that it stands at. Wherever else it was put, it is before the instruction."""
    stop = d.stops[0] if d.stops else None
    return stop.order if stop is not None and stop.time == d.now else Stepped.order


def _collect(d: "Debugger", plan: Plan) -> Stop | None:
    """The last stop of Debugger.collect; bits that the CPU set are traced back to before they were noticed."""
    for found in reversed(d.collect(plan)):
        if not isinstance(found, EntryChanged) or found.kernel:
            return found
        late = found.time == plan.until and not plan.below
        change = pinpoint(d, found, False, until=found.time.instructions - 1 if late else None)
        if change is not None:
            return change
    return None


@contextmanager
def coming_back(d: "Debugger") -> "Generator[None]":
    """Wherever it is gone to meanwhile, the system stands here again afterwards, as it does now."""
    d.history.settle()
    origin, stops = d.now, d.stops
    try:
        yield
    finally:
        d.history.go(origin)
        d.stops = stops
        _hold(d)


def _plan(event: type[Event] | None, point: Point | None, until: Time, below: int) -> Plan:
    points = None if event is None and point is None else () if point is None else (point,)
    return Plan(event=event, points=points, until=until, below=below)


def _stand_at(d: "Debugger", stop: Stop) -> Stop:
    """Go where a hit was, so that going on from there is going on from that stop."""
    d.history.go(stop.time)
    d.stops = [stop]
    _hold(d)
    return stop


def _hold(d: "Debugger") -> None:
    """Where it stands before a kernel entry, that one goes on next; elsewhere it will be stopped before."""
    d.tap.stand()
    for stop in d.stops:
        if isinstance(stop, BeforeCall | BeforeFault) and stop.time == d.now and d.current is not None:
            d.tap.held_at(d.current, isinstance(stop, BeforeCall))
        elif isinstance(stop, BeforeSignal) and stop.time == d.now:
            d.tap.told(stop.tid, stop.info.signo)


def pinpoint(
    d: "Debugger", stop: EntryChanged, first: bool, since: int = 0, until: int | None = None
) -> EntryChanged | None:
    """The first or last instruction with which the CPU set bits of an entry, which is noticed later: by halving.

    Looked for between two numbers of instructions begun since boot. None if nothing changed there.
    """
    before = next((e.time for e in d.log.before(stop.time) if e.time < stop.time), d.history.beginning)
    start, high = max(before.instructions, since), stop.time.instructions if until is None else until
    low, address = start, stop.point.address

    def walk_at(instructions: int) -> Walk:
        if instructions <= start:
            return stop.old  # as the kernel left it
        d.history.canonical(instructions)
        task = next((t for t in d.kernel.tasks.values() if t.tgid == (stop.point.tgid or stop.tgid)), None)
        return tuple(task.mm.pt.walk(address)) if task is not None and task.user_mm is not None else ()

    last = walk_at(high)
    if last == stop.old:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if (walk_at(middle) != stop.old) if first else (walk_at(middle) == last):
            high = middle
        else:
            low = middle
    old, new = walk_at(low), walk_at(high)
    task = d.current
    return EntryChanged(d.now, task.tid if task else 0, task.tgid if task else 0, d.machine.regs[RIP],
                        stop.point, False, old, new)  # fmt: skip


def _give_up(d: "Debugger", origin: Time) -> Stop:
    """The user does not want to wait: back to where it began."""
    d.history.go(origin)
    return d.stand(Interrupted)


# -- by looking at the last instructions --------------------------------------------------------------------


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
        return _give_up(d, origin)
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
