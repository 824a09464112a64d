"""Going back: steps by counting, everything else by searching the past for the last moment at which something held.

Steps over calls and lines, for which the last instructions are looked at, are in trail.py.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from emu.debug.events import Event, SignalDelivered, Switched, Time, Walk
from emu.debug.goals import ANYONE
from emu.debug.points import Point
from emu.debug.runner import DebugError, Plan, ReplayInterrupted
from emu.debug.stops import AtBeginning, BeforeCall, BeforeFault, BeforeSignal, EntryChanged, Interrupted, Stepped, Stop
from mini_kernel.x86 import RIP

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from emu.debug.debugger import Debugger


def go(d: "Debugger", when: Time) -> Stop:
    """See Debugger.go."""
    d.history.settle()
    if not d.history.beginning <= when or when > max(d.history.frontier, d.now):
        raise DebugError("that moment is not known")
    origin = d.now
    try:
        d.history.go(when)
    except ReplayInterrupted:
        return give_up(d, origin)
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
        return give_up(d, origin)
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
        return give_up(d, origin)


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


def give_up(d: "Debugger", origin: Time) -> Stop:
    """The user does not want to wait: back to where it began."""
    d.history.go(origin)
    return d.stand(Interrupted)
