"""The loop under the debugger's verbs: run, look at why the machine stopped, go on or say so."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from emu import disasm
from emu.boot import Ending, System
from emu.debug.events import Event, Exited, Faulted, Forked, SyscallEntered, Time
from emu.debug.goals import Goal
from emu.debug.history import History
from emu.debug.log import EventLog
from emu.debug.points import Breakpoint, Catchpoint, P, Point, Points
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
from emu.debug.tap import Call, Tap, Trap
from emu.debug.watching import Watches
from emu.errors import EmuError
from emu.machine import DebugMachine
from emu.recording import Beyond, Recording
from emu.symbols import SourceLine, Symbols
from mini_kernel.mm import uaccess
from mini_kernel.task import Task
from mini_kernel.x86 import RIP, RSP

MAX_INSTRUCTION = 15
Follow = Literal["parent", "child"]


class DebugError(EmuError):
    """The debugger was asked for something that cannot be."""


class ReplayInterrupted(Exception):
    """The user does not want to wait for the end of a replay."""


@dataclass(frozen=True)
class Plan:
    """What one run is for.

    goal        what a step is to reach
    limit       instructions since boot to stop at
    event       stop for events of this kind (before the kernel, for calls and faults)
    points      look at these points, not at all there are
    quiet       stop for nothing
    until       a replay of the known past, up to this moment; hits count for nothing
    inclusive   hits at `until` itself are wanted
    """

    goal: Goal | None = None
    limit: int | None = None
    event: type[Event] | None = None
    points: Sequence[Point] | None = None
    quiet: bool = False
    until: Time | None = None
    inclusive: bool = False


class Runner:
    """One debugged system, and how it runs.

    points       breakpoints, watchpoints, catchpoints
    log          everything that happened
    follow       whom a step goes along with when the task forks
    fatal        stop before an exception that will kill a process
    stops        everything that the last stop was about; verbs return the first
    """

    def __init__(self, system: System, recording: Recording | None = None) -> None:
        """`recording` is what the system was made from (Recording.boot).

        Raises DebugError for a system that was not made with Options(debug=True).
        """
        if not isinstance(system.machine, DebugMachine):
            raise DebugError("the system was not booted for debugging")
        self.system = system
        self.kernel = system.kernel
        self.machine = system.machine
        self.tap = Tap(system, system.machine)
        self.points = Points()
        self.log = EventLog()
        self.follow: Follow = "parent"
        self.fatal = True
        self.stops: list[Stop] = []
        self._symbols = system.symbols.at(system.exe_path)
        self._watches = Watches(self.kernel, self.machine)
        self._plan = Plan(quiet=True)
        self._goal_since: int | None = None  # instructions() when the goal's task last got the CPU
        self._breaks: list[Breakpoint] = []
        self._catches: list[Catchpoint] = []
        self._marked: frozenset[int] = frozenset()
        self.history = History(self)
        self.tap.tapes = self.history.tapes
        self.tap.after = self._entry_over
        if recording is not None:
            self.tap.digests = recording.digests
            if recording.ending in ("interrupted", "timeout"):
                self.machine.set_end(recording.jumps)

    # -- where we are -------------------------------------------------------------------------------

    @property
    def now(self) -> Time:
        """The present moment."""
        return self.tap.now()

    @property
    def current(self) -> Task | None:
        """The task that has the CPU; None when nothing can run any more."""
        return self.kernel.sched.current

    def symbols(self, task: Task | None = None) -> Symbols:
        """The names of the program that a task runs; of the one that was booted where nothing runs any more."""
        task = task or self.current
        return self.system.symbols.of(task) if task is not None else self._symbols

    def line_at(self, address: int) -> SourceLine | None:
        """The source line of an instruction of the current task."""
        return self.symbols().line(address)

    def extent_at(self, address: int) -> tuple[int, int] | None:
        """The instructions around it of the same line."""
        return self.symbols().extent(address)

    def decode(self, address: int) -> disasm.Instruction | None:
        """The instruction at an address of the current task."""
        task = self.current
        if task is None or task.user_mm is None:
            return None
        return disasm.one(uaccess.probe(task.user_mm, address, MAX_INSTRUCTION), address)

    def return_address(self) -> int:
        """What is on top of the current task's stack; 0 if there is nothing."""
        task = self.current
        if task is None or task.user_mm is None:
            return 0
        return int.from_bytes(uaccess.probe(task.user_mm, self.machine.regs[RSP], 8), "little")

    def intervene(self) -> None:
        """To be called before anything is changed by hand: what was known of the future does not hold any more."""
        self.history.change()

    # -- the loop -----------------------------------------------------------------------------------

    def run(self, plan: Plan) -> Stop:
        """Run as planned; the first reason to stop."""
        self._begin(plan)
        if self.current is None:
            self.kernel.traps.dispatch()  # everybody waited for a key when an earlier run was interrupted
        if self.current is None:
            self._finish()
            self.stops = [self._ended()]
            return self.stops[0]
        self.machine.let_pass(self.machine.regs[RIP])
        try:
            while not self._turn():
                pass
        finally:
            self._finish()
        return self._stopped()

    def run_quietly(self, until: Time) -> None:
        """Replay to a moment of the known past, stopping for nothing. Raises Divergence, ReplayInterrupted."""
        self._begin(Plan(quiet=True, until=until))
        try:
            while self.now < until and self.current is not None:
                self._turn()
        finally:
            self._finish()

    def collect(self, plan: Plan) -> Stop | None:
        """Replay to `plan.until` and return the last stop before it (at it, if `plan.inclusive`). Raises as before."""
        assert plan.until is not None
        self._begin(plan)
        last: Stop | None = None
        try:
            while self.now < plan.until and self.current is not None:
                if self._turn():
                    self.machine.let_pass(self.machine.regs[RIP])
                    found = [s for s in self.stops if s.time < plan.until or (plan.inclusive and s.time == plan.until)]
                    found = [s for s in found if not isinstance(s, Ended)]
                    last = found[0] if found else last
        finally:
            self._finish()
        return last

    def _begin(self, plan: Plan) -> None:
        self.history.settle()
        self._plan, self._goal_since, self.stops = plan, None, []
        self._prepare()
        self.history.started()

    def _finish(self) -> None:
        self.history.stopped()
        self._plan = Plan(quiet=True)
        machine = self.machine
        machine.stop_anywhere()
        machine.set_instruction_budget(None)
        self.tap.before_call = self.tap.before_fault = self.tap.before = None

    def _turn(self) -> bool:
        """Let the machine run until it stops; True if there is a reason that counts."""
        self.stops = []
        self.rearm()
        self._judge(self.machine.run())
        return bool(self.stops)

    def _prepare(self) -> None:
        """Tell the machine and the tap what is to be looked at."""
        plan, tap = self._plan, self.tap
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

    def _wanted(self, kind: type[P]) -> list[P]:
        plan = self._plan
        if plan.quiet:
            return []
        if plan.points is not None:
            return [p for p in plan.points if isinstance(p, kind)]
        return self.points.active(kind)

    def rearm(self) -> None:
        """Tell the machine what the goal wants now."""
        goal, machine = self._plan.goal, self.machine
        now = machine.instructions()
        machine.stop_anywhere()
        budgets = [self._own_budget()]
        if goal is None:
            machine.mark(self._marked)
        else:
            if self._goal_since is not None:
                goal.ran(now - self._goal_since)
            current = self.current
            mine = current is not None and current.tid == goal.tid
            self._goal_since = now if mine else None
            machine.mark(self._marked | goal.addresses if mine else self._marked)
            if mine:
                goal.arm(machine)
                budgets.append(goal.budget())
        machine.set_instruction_budget(min((b for b in budgets if b is not None), default=None))

    def _own_budget(self) -> int | None:
        """Instructions until the plan, or the history, is to be looked at."""
        plan, now = self._plan, self.machine.instructions()
        if plan.until is not None:
            return max(1, plan.until.instructions - now)  # 1: it begins, and enters the kernel instead
        due = self.history.budget()
        return due if plan.limit is None else max(0, min(due, plan.limit - now))

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
        self._breakpoints()
        goal = plan.goal
        if not self.stops and goal is not None and self.current is not None and self.current.tid == goal.tid:
            if self._goal_since is not None:
                goal.ran(machine.instructions() - self._goal_since)
                self._goal_since = machine.instructions()
            if goal.reached(self):
                self.stops.append(self._here(Stepped))
        if not self.stops and plan.limit is not None and machine.instructions() >= plan.limit:
            self.stops.append(self._here(LimitReached))
        if not self.stops and plan.until is None and self.history.reached():
            self._prepare()

    def _breakpoints(self) -> None:
        rip, tgid = self.machine.regs[RIP], self.current.tgid if self.current else 0
        if rip not in self._marked:
            return
        for point in self._breaks:
            if point.address == rip and point.tgid in (None, tgid) and self._counts(point):
                self.stops.append(self._here(AtBreakpoint, point))

    def _accessed(self) -> None:
        for hit in self._watches.by_user(self.machine.accesses):
            if self._counts(hit.point):
                by = self.current.tid if self.current else 0
                values = hit.point, by, False, hit.access, hit.where or 0, hit.old, hit.new
                self.stops.append(self._here(Watched, *values))

    def _counts(self, point: Point) -> bool:
        """True if a point that was reached stops: its condition holds and it is not to be passed."""
        if point.condition is not None and not point.condition(self):
            return False
        if self._plan.until is not None:
            return True  # going back: it counts for nothing, and nothing is passed
        point.hits += 1
        if point.ignore:
            point.ignore -= 1
            return False
        return True

    def _stopped(self) -> Stop:
        for stop in self.stops:
            point: Point | None = getattr(stop, "point", None)
            if point is not None and point.temporary and point in list(self.points):
                self.points.remove(point.number)
        return self.stops[0]

    def _here(self, kind: Callable[..., Stop], *values: object) -> Stop:
        task = self.current
        tid, tgid = (task.tid, task.tgid) if task is not None else (0, 0)
        return kind(self.now, tid, tgid, self.machine.regs[RIP], *values)

    def stand(self, kind: Callable[..., Stop]) -> Stop:
        """A stop of this kind here and now."""
        self.stops = [self._here(kind)]
        return self.stops[0]

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
            if wanted and (not point.only or call.number in point.only) and self._counts(point):
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
            if wanted and self._counts(point):
                self._before(BeforeFault, point, *values)
                return True
        if self._plan.event is Faulted or (self.fatal and trap.fatal and self._plan.points is None):
            self._before(BeforeFault, None, *values)
            return True
        return False

    def _before(self, kind: type[Stop], *values: object) -> None:
        self.stops.append(self._here(kind, *values))

    def _entry_begins(self) -> None:
        """Entries that are watched may have got A and D bits from the CPU since they were last looked at."""
        for change in self._watches.entries():
            if self._counts(change.point):
                self.stops.append(self._here(EntryChanged, change.point, False, change.old, change.new))

    def _entry_over(self) -> bool:
        """The tap's `after`: what the events of this entry mean. True: stop."""
        plan, events = self._plan, self.tap.events
        self.log.extend(events)
        if self._catches or plan.event is not None:
            self._catch(events)
        if self._watches.any:
            self._watch()
        if plan.goal is not None:
            self._follow(plan.goal, events)
        return bool(self.stops) or (plan.until is not None and self.now >= plan.until)

    def _catch(self, events: Iterable[Event]) -> None:
        for event in events:
            for point in self._catches:
                if point.wants(event) and self._counts(point):
                    self.stops.append(self._here(Caught, point, event))
            if self._plan.event is not None and isinstance(event, self._plan.event):
                self.stops.append(self._here(Caught, None, event))

    def _watch(self) -> None:
        tid = self.kernel.sched.loaded.tid if self.kernel.sched.loaded else 0
        by = self.tap.events[0].tid if self.tap.events else tid
        for hit in self._watches.by_kernel():
            if self._counts(hit.point):
                values = hit.point, by, True, hit.access, self.machine.entered_from, hit.old, hit.new
                self.stops.append(self._here(Watched, *values))
        for change in self._watches.entries():
            if self._counts(change.point):
                self.stops.append(self._here(EntryChanged, change.point, True, change.old, change.new))
        for point, old, new in self._watches.frames():
            if self._counts(point):
                self.stops.append(self._here(FrameChanged, point, old, new))

    def _follow(self, goal: Goal, events: Iterable[Event]) -> None:
        """The goal's task may have forked, or be gone, or another may have the CPU now."""
        for event in events:
            if isinstance(event, Forked) and event.tid == goal.tid and self.follow == "child":
                goal.tid = event.child
            elif isinstance(event, Exited) and event.tid == goal.tid:
                self.stops.append(self._here(TaskGone, event.tid, event.status))
        self.rearm()
