"""Why to stop: what an end of the machine's, or a kernel entry, means for breakpoints, goals, catchpoints and watches.

Everything here is asked in the middle of a run (runner.py) and answers by adding to `stops`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from emu.boot import Ending, System
from emu.debug.events import Event, Faulted, SignalDelivered, SyscallEntered
from emu.debug.history import History
from emu.debug.log import EventLog
from emu.debug.plan import Follow, Plan, ReplayInterrupted
from emu.debug.points import Breakpoint, Catchpoint, P, Point, Points
from emu.debug.pursuit import Pursuit
from emu.debug.sight import Sight
from emu.debug.signals import Signals
from emu.debug.stops import (
    AtBreakpoint,
    BeforeCall,
    BeforeFault,
    Caught,
    Ended,
    EntryChanged,
    FrameChanged,
    Interrupted,
    LimitReached,
    RecordingOver,
    Stepped,
    Stop,
    TaskGone,
    Watched,
)
from emu.debug.tap import Call, Due, Trap
from emu.debug.watching import Watches
from emu.recording import Beyond
from mini_kernel.x86 import RIP

_STOPPED_BEFORE: Final = (SyscallEntered, Faulted, SignalDelivered)


class Reasons(Sight):
    """One debugged system, and what it is to stop for.

    points       breakpoints, watchpoints, catchpoints
    log          everything that happened
    follow       whom a step goes along with when the task forks (pursuit.py)
    fatal        stop before an exception that will kill a process
    signals      what to do about signals before they are delivered
    stops        everything that the last stop was about; verbs return the first
    """

    history: History

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._points = Points()
        self._fatal = True
        self.log = EventLog()
        self.follow: Follow = "parent"
        self.signals = Signals(self)
        self.stops: list[Stop] = []
        self._watches = Watches(self.kernel, self.machine)
        self._plan = Plan(quiet=True)
        self.pursuit = Pursuit()
        self._breaks: list[Breakpoint] = []
        self._catches: list[Catchpoint] = []
        self._marked: frozenset[int] = frozenset()
        self._prepared: int | None = None  # version of the points for which a usual plan was prepared, still valid
        self.tap.after = self._entry_over
        self.tap.before_signal = self._before_signal

    @property
    def points(self) -> Points:
        """What to stop for. Assignable."""
        return self._points

    @points.setter
    def points(self, points: Points) -> None:
        self._points = points
        self._prepared = None

    @property
    def fatal(self) -> bool:
        """True to stop before exceptions that kill. Assignable."""
        return self._fatal

    @fatal.setter
    def fatal(self, fatal: bool) -> None:
        self._fatal = fatal
        self._prepared = None

    def unprepare(self) -> None:
        """The system is not the one any more that was looked at."""
        self._prepared = None

    def rearm(self) -> None:
        """Tell the machine what the goal wants now."""
        raise NotImplementedError

    def holds(self, point: Point) -> bool:
        """True if the condition of a point is true now, or it has none."""
        raise NotImplementedError

    # -- what is looked at ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Tell the machine and the tap what is to be looked at. Most plans look at the same."""
        plan, tap, version = self._plan, self.tap, self._points.version
        if plan.is_usual and self._prepared == version:
            if self._watches.any:
                self._watches.refresh()
            return
        self._prepared = version if plan.is_usual else None
        self._breaks = self._wanted(Breakpoint)
        self._catches = self._wanted(Catchpoint)
        self._marked = frozenset(point.address for point in self._breaks)
        looking = () if plan.quiet else tuple(self.points) if plan.points is None else plan.points
        self._watches.reset(looking)
        calls = plan.event is SyscallEntered or any(c.before and c.kind is SyscallEntered for c in self._catches)
        faults = plan.event is Faulted or any(c.before and c.kind is Faulted for c in self._catches)
        faults = faults or (self.fatal and not plan.quiet and plan.points is None)
        tap.before_call = self._before_call if calls else None
        tap.before_fault = self._before_fault if faults else None
        tap.before = self._entry_begins if self._watches.walks else None
        tap.accessed = self._watches.accessed if self._watches.memory else None

    def _wanted(self, kind: type[P]) -> list[P]:
        plan = self._plan
        if plan.quiet:
            return []
        if plan.points is not None:
            return [p for p in plan.points if isinstance(p, kind)]
        return self.points.active(kind)

    # -- at a stop of the machine's -------------------------------------------------------------------

    def _judge(self, reason: str) -> None:
        """Fill `stops` if there is a reason to."""
        if not self._plan.quiet and self._watches.walks:
            self._entry_begins()
        if self.stops:
            return
        if self.current is None and reason != "interrupted":
            self.stops.append(self._ended())
        elif reason == "interrupted":
            if self._plan.until is not None:
                raise ReplayInterrupted
            beyond = self.system.streams[0]
            ended = isinstance(beyond, Beyond) and beyond.reached
            self.stops.append(self._here(RecordingOver if ended else Interrupted))
        elif reason == "end":
            self.stops.append(self._here(RecordingOver))
        elif reason == "access":
            self._accessed()
        elif reason in ("budget", "probe"):
            self._looked_at()
            if not self.stops:
                self.machine.let_pass(self.machine.regs[RIP])

    def _looked_at(self) -> None:
        """Before an instruction that a breakpoint, a goal, the limit or the history may be about."""
        plan, machine = self._plan, self.machine
        if self.history.reached(take=plan.until is None):
            self._prepare()
        self._breakpoints()
        goal = self.pursuit.active
        if not self.stops and goal is not None:
            self.pursuit.charge(machine.instructions())
            if goal.reached(self):
                self.pursuit.meet(goal)
                self.stops.append(self._here(Stepped))
        if not self.stops and plan.limit is not None and machine.instructions() >= plan.limit:
            self.stops.append(self._here(LimitReached))

    def _breakpoints(self) -> None:
        rip, tgid = self.machine.regs[RIP], self.current.tgid if self.current else 0
        if rip not in self._marked:
            return
        for point in self._breaks:
            if point.address == rip and point.tgid in (None, tgid) and self.counts(point):
                self.stops.append(self._here(AtBreakpoint, point))

    def _accessed(self) -> None:
        for hit in self._watches.by_user(self.machine.accesses, self.current.user_mm if self.current else None):
            if self.counts(hit.point):
                by = self.current.tid if self.current else 0
                values = hit.point, by, False, hit.access, hit.where or 0, hit.old, hit.new
                self.stops.append(self._here(Watched, *values))

    def counts(self, point: Point) -> bool:
        """True if a point that was reached stops: its condition holds and it is not to be passed."""
        if not self.holds(point):
            return False
        if self._plan.until is not None:
            return True  # going back: it counts for nothing, and nothing is passed
        point.hits += 1
        if point.ignore:
            point.ignore -= 1
            return False
        return True

    def _here(self, kind: Callable[..., Stop], *values: object) -> Stop:
        task = self.current
        tid, tgid = (task.tid, task.tgid) if task is not None else (0, 0)
        return kind(self.now, tid, tgid, self.machine.regs[RIP], *values)

    def _ended(self) -> Ended:
        kernel = self.kernel
        kernel.sched.credit()
        status = kernel.exit_status
        ending: Ending = "deadlock" if kernel.deadlock is not None and status is None else "exited"
        return Ended(self.now, 0, 0, 0, ending, status)

    # -- called from inside kernel entries ------------------------------------------------------------

    def _before_call(self, call: Call) -> bool:
        tgid = call.task.tgid
        for point in self._catches:
            wanted = point.before and point.enabled and point.kind is SyscallEntered and point.tgid in (None, tgid)
            if wanted and (not point.only or call.number in point.only) and self.counts(point):
                self._before_this(call, point)
                return True
        if self._plan.event is SyscallEntered:
            self._before_this(call, None)
            return True
        return False

    def _before_this(self, call: Call, point: Catchpoint | None) -> None:
        """A stop before a call, whose instruction will not have been begun."""
        stop = BeforeCall(
            self.now, call.task.tid, call.task.tgid, self.machine.entered_from, point, call.number, call.arguments
        )
        time = stop.time._replace(instructions=stop.time.instructions - 1)
        self.stops.append(replace(stop, time=time))

    def _before_fault(self, trap: Trap) -> bool:
        values = trap.vector, trap.error, trap.address, trap.verdict
        fault_class = trap.verdict.fault_class if trap.verdict else ""
        for point in self._catches:
            wanted = point.before and point.enabled and point.kind is Faulted
            wanted = wanted and point.tgid in (None, trap.task.tgid) and (not point.only or fault_class in point.only)
            if wanted and self.counts(point):
                self._before(BeforeFault, point, *values)
                return True
        if self._plan.event is Faulted or (self.fatal and trap.fatal and self._plan.points is None):
            self._before(BeforeFault, None, *values)
            return True
        return False

    def _before_signal(self, signal: Due) -> bool:
        return self.signals.before(self._plan, self._catches, signal)

    def _before(self, kind: type[Stop], *values: object) -> None:
        self.stops.append(self._here(kind, *values))

    def _entry_begins(self) -> None:
        """Entries that are watched may have got A and D bits from the CPU since they were last looked at."""
        for change in self._watches.entries():
            if self.counts(change.point):
                self.stops.append(self._here(EntryChanged, change.point, False, change.old, change.new))

    def _entry_over(self) -> bool:
        """The tap's `after`: what the events of this entry mean. True: stop."""
        plan, events = self._plan, self.tap.events
        self.log.extend(events)
        if self._catches or plan.event is not None:
            self._catch(events)
        if self._watches.any:
            self._watch()
        if self.pursuit.goals:
            for event in events:
                if isinstance(event, SignalDelivered):
                    self.pursuit.interrupted(event.tid, *self.tap.interrupted)
            for gone in self.pursuit.after(events, self.follow):
                self.stops.append(self._here(TaskGone, gone.tid, gone.status))
            self.rearm()
        return bool(self.stops) or self.tap.is_at_bound

    def _catch(self, events: Iterable[Event]) -> None:
        for event in events:
            for point in self._catches:
                if point.wants(event) and self.counts(point):
                    self.stops.append(self._here(Caught, point, event))
            wanted = self._plan.event
            if wanted is not None and wanted not in _STOPPED_BEFORE and isinstance(event, wanted):
                self.stops.append(self._here(Caught, None, event))

    def _watch(self) -> None:
        tid = self.kernel.sched.loaded.tid if self.kernel.sched.loaded else 0
        by = self.tap.events[0].tid if self.tap.events else tid
        for hit in self._watches.by_kernel():
            if self.counts(hit.point):
                values = hit.point, by, True, hit.access, self.machine.entered_from, hit.old, hit.new
                self.stops.append(self._here(Watched, *values))
        for change in self._watches.entries():
            if self.counts(change.point):
                self.stops.append(self._here(EntryChanged, change.point, True, change.old, change.new))
        for point, old, new in self._watches.frames():
            if self.counts(point):
                self.stops.append(self._here(FrameChanged, point, old, new))
