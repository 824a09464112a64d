"""Time travel: snapshots at intervals, and replay from the latest one before the moment that is wanted.

A system runs the same way again from a snapshot (Tape gives it the same input), so any moment between two snapshots is
reached by running there. Going back to the last moment at which something held is running forward through ever larger
windows before the present, keeping the last hit. Changing the system by hand at some moment begins another future: what
was known of the old one is forgotten, and the changed state becomes a root that replays jump to instead of through.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emu.debug.events import Time
from emu.debug.stops import ALL
from emu.debug.store import Shelf, Snapshot, Store

if TYPE_CHECKING:
    from emu.debug.runner import Runner
    from emu.debug.stops import Stop

#: Instructions between two snapshots at first; later as many as cost OVERHEAD times as long to run as to snapshot.
FIRST_INTERVAL: Final = 200_000
MAX_INTERVAL: Final = 50_000_000
OVERHEAD: Final = 10.0
_WINDOW: Final = 2_000  # instructions looked at first when going back, and how much farther each time
_WIDER: Final = 10


class History:
    """What is known of the past of one debugger's system.

    frontier    the latest moment reached so far; beyond it nothing is known
    wake        instructions since boot before which nothing is to be done here; 0: not worked out
    bound       the moment of the next root, at which nothing goes on but from there; valid if `wake` is
    """

    def __init__(self, d: "Runner") -> None:
        self._d = d
        self.tapes = d.system.tapes
        self._store = Store(d.system, d.machine, self.tapes)
        self.shelf = Shelf()
        self.frontier = d.now
        self.interval = FIRST_INTERVAL
        self._from = 0  # number of the snapshot that the present comes from
        self._changed = True  # by hand, since the last snapshot
        self.wake = 0
        self.bound: Time | None = None
        self._ran: tuple[int, float] | None = None  # (instructions, host seconds) when it last started
        self._speed = 0.0  # instructions a second

    # -- snapshots ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Before anything runs: what was changed by hand becomes a root."""
        if self._changed:
            self._changed = False
            self._take(root=True)

    def change(self) -> None:
        """Something is about to be changed by hand: another future begins here."""
        d = self._d
        self._forget()
        self.shelf.cut(d.now)
        d.log.cut(d.now)
        for tape in self.tapes:
            tape.branch()
        self.frontier = d.now
        self._changed = True

    def _forget(self) -> None:
        """What was worked out for the present holds no more."""
        self.wake = 0
        self._d.unprepare()

    def _take(self, root: bool = False) -> None:
        d = self._d
        self.wake = 0
        self._measure()
        began = time.perf_counter()
        snapshot = self._store.take(d.now, root, d.tap.preempts, d.tap.last_entry, self.shelf.last)
        self.shelf.add(snapshot)
        self._from = snapshot.number
        cost = time.perf_counter() - began
        if self._speed:
            wanted = int(cost * OVERHEAD * self._speed)
            self.interval = min(max(wanted, FIRST_INTERVAL), MAX_INTERVAL)
        if self._ran is not None:
            self.started()  # to take a snapshot is not to run

    def _restore(self, snapshot: Snapshot) -> None:
        d = self._d
        self._forget()
        self._d.pursuit.owed.clear()
        self._store.restore(snapshot)
        self._from = snapshot.number
        d.tap.entries = snapshot.time.entries
        d.tap.preempts = snapshot.preempts
        d.tap.forget(snapshot.last_entry)

    # -- running forward ----------------------------------------------------------------------------

    def started(self) -> None:
        """The machine is about to run."""
        self._ran = self._d.machine.instructions(), time.perf_counter()

    def stopped(self) -> None:
        """The machine has stopped."""
        self._measure()
        self._ran = None
        self.frontier = max(self.frontier, self._d.now)

    def _measure(self) -> None:
        """How fast it ran since it started."""
        if self._ran is None:
            return
        instructions, seconds = self._d.machine.instructions() - self._ran[0], time.perf_counter() - self._ran[1]
        if instructions > 10_000:
            self._speed = instructions / seconds

    def budget(self) -> int:
        """Instructions until the history wants to be asked again."""
        now = self._d.machine.instructions()
        if self.wake <= now:
            self._look_ahead(now)
        return max(1, self.wake - now)

    def _look_ahead(self, now: int) -> None:
        barrier, last = self._barrier(), self.shelf.last
        self.bound = None if barrier is None else barrier.time
        if barrier is not None:
            self.wake = barrier.time.instructions
            return
        self.wake = max(now, self.frontier.instructions, last.time.instructions if last else 0) + self.interval
        if last is not None and self.frontier.instructions - last.time.instructions < self.interval:
            self.wake = last.time.instructions + self.interval

    def _barrier(self) -> Snapshot | None:
        """The root that comes next: running into its moment means going on from it."""
        return self.shelf.next_root(self._from)

    def reached(self, take: bool) -> bool:
        """`budget` may be used up: go on from a root, if its moment has come. True: it did that.

        With `take` there will be a snapshot, if one is due.
        """
        found = False
        while self._d.machine.instructions() >= self.wake:
            now, barrier = self._d.now, self._barrier()
            if barrier is None or now < barrier.time:
                if take and barrier is None:
                    self._take_due(now)
                break
            self._restore(barrier)
            found = True
        return found

    def _take_due(self, now: Time) -> None:
        if now >= self.frontier and self._d.tap.is_between_entries:
            last = self.shelf.last
            if last is None or now.instructions >= last.time.instructions + self.interval:
                self._take()

    # -- going to a moment --------------------------------------------------------------------------

    @property
    def beginning(self) -> Time:
        """The earliest moment that can be gone to."""
        return self.shelf.all[0].time if self.shelf.all else self._d.now

    def go(self, when: Time) -> None:
        """To a moment between the beginning and the frontier. Precondition: `settle`."""
        snapshot = self.shelf.latest(lambda t: t <= when)
        assert snapshot is not None
        barrier = self._barrier()
        if not snapshot.time <= self._d.now <= when or (barrier is not None and barrier.time <= when):
            self._restore(snapshot)
        self._d.run_quietly(when)

    def canonical(self, instructions: int) -> None:
        """To before the instruction after so many, and before any fault or tick that comes with it."""
        self._restore(self.shelf.latest(lambda t: t.instructions < instructions) or self.shelf.all[0])
        self._d.run_quietly(Time(instructions, 0))
        self.reached(take=False)

    def last_before(self, when: Time, below: int, collect: Callable[[Time, int], "Stop | None"]) -> "Stop | None":
        """What `collect` finds last before a moment, or at it with an order below. The system is somewhere else then.

        `collect(until, below)` runs from where the system is to `until`, and returns the last hit if there is one.
        """
        upper, width = when, _WINDOW
        while True:
            snapshot = self.shelf.latest(lambda t, upper=upper: t < upper)
            if snapshot is None:
                return None
            self._restore(snapshot)
            start = max(snapshot.time.instructions, upper.instructions - width)
            if start > snapshot.time.instructions:
                self._d.run_quietly(Time(start, 0))
            lower = self._d.now
            if lower >= upper:
                self._restore(snapshot)
                lower = snapshot.time
            found = collect(upper, below)
            if found is not None:
                return found
            upper, below, width = lower, ALL, width * _WIDER
