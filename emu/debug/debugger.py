"""The debugger: runs a booted system and says why it stopped. Prints nothing; values in, values out.

`with System(program, options=Options(debug=True)) as system: d = Debugger(system)`. The verbs return a Stop (stops.py).
What there is to see at a stop is in state.py, paging.py and why.py, which take a Debugger or a System.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from emu import disasm
from emu.boot import Ending, System
from emu.debug import goals
from emu.debug.events import Event, Exited, Faulted, Forked, SyscallEntered, Time
from emu.debug.goals import Goal
from emu.debug.log import EventLog
from emu.debug.points import Breakpoint, Catchpoint, P, Point, Points
from emu.debug.stops import (
    AtBreakpoint,
    BeforeCall,
    BeforeFault,
    Caught,
    Ended,
    EntryChanged,
    Interrupted,
    LimitReached,
    Stepped,
    Stop,
    TaskGone,
    Watched,
)
from emu.debug.tap import Call, Tap, Trap
from emu.debug.watching import Watches
from emu.errors import EmuError
from emu.machine import DebugMachine
from emu.symbols import SourceLine, Symbols
from mini_kernel.mm import uaccess
from mini_kernel.task import State, Task
from mini_kernel.x86 import RIP, RSP

MAX_INSTRUCTION = 15
Follow = Literal["parent", "child"]


class DebugError(EmuError):
    """The debugger was asked for something that cannot be."""


class Debugger:
    """One debugged system.

    points       breakpoints, watchpoints, catchpoints
    log          everything that happened
    follow       whom a step goes along with when the task forks
    fatal        stop before an exception that will kill a process
    stops        everything that the last stop was about; verbs return the first
    """

    def __init__(self, system: System) -> None:
        """Raises DebugError for a system that was not made with Options(debug=True)."""
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
        self._symbols = Symbols.of(system.program)
        self._watches = Watches(self.kernel, self.machine, self.points)
        self._goal: Goal | None = None
        self._goal_since: int | None = None  # instructions() when the goal's task last got the CPU
        self._limit: int | None = None
        self._event: type[Event] | None = None  # a step waits for one
        self._catches: list[Catchpoint] = []
        self._marked: frozenset[int] = frozenset()
        self.tap.after = self._entry_over

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
        """The names of the program that a task runs: nothing is known of others than the one that was booted."""
        task = task or self.current
        own = task is None or self.system.program.name.startswith(task.name)
        return self._symbols if own else Symbols()

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

    # -- points -------------------------------------------------------------------------------------

    def add(self, point: P) -> P:
        """A new breakpoint, watchpoint or catchpoint. It gets a number."""
        return self.points.add(point)

    def break_at(self, place: int | str, **settings: object) -> Breakpoint:
        """A breakpoint at an address, a symbol, `symbol+0x12`, `file:line` or a line number. Raises DebugError."""
        return self.add(Breakpoint(address=self.locate(place), text=str(place), **settings))  # pyright: ignore[reportArgumentType]  # Point's fields

    def locate(self, place: int | str) -> int:
        """The address of what `break_at` takes. Raises DebugError."""
        if isinstance(place, int):
            return place
        name, plus, offset = place.partition("+")
        found = self._symbols.addresses().get(name.strip())
        if found is None and not plus:
            found = self._line_address(place)
        try:
            if found is None:
                found = int(name.strip().removeprefix("*"), 0)
            return found + int(offset, 0) if plus else found
        except ValueError:
            raise DebugError(f"there is no symbol, line or address {place!r}") from None

    def _line_address(self, place: str) -> int | None:
        file, colon, line = place.rpartition(":")
        if not line.isdecimal():
            return None
        return self._symbols.address_of_line(file if colon else "", int(line))

    # -- running ------------------------------------------------------------------------------------

    def cont(self, limit: int | None = None) -> Stop:
        """Run on, at most until `limit` instructions have been begun since boot."""
        return self._run(None, limit)

    def step(self, count: int = 1) -> Stop:
        """`count` instructions of the current task, with the kernel entries they make. Others may run meanwhile."""
        return self._run(goals.Count(self._tid(), count))

    def next(self) -> Stop:
        """One instruction; a `call` with all it calls, a repeated string instruction with all its repeats."""
        return self._run(goals.over(self, self._tid()))

    def finish(self) -> Stop:
        """Until the function returns."""
        return self._run(goals.Return(self._tid(), self.machine.regs[RSP]))

    def step_line(self) -> Stop:
        """To another source line, into functions that have lines."""
        return self._run(goals.Line(self._tid(), self, False))

    def next_line(self) -> Stop:
        """To another source line of this function or its caller."""
        return self._run(goals.Line(self._tid(), self, True))

    def step_block(self) -> Stop:
        """To the next instruction that is jumped to."""
        return self._run(goals.Jump(self._tid()))

    def until(self, place: int | str) -> Stop:
        """To a place, reached by the current task."""
        return self._run(goals.Arrive(self._tid(), self.locate(place)))

    def step_call(self) -> Stop:
        """To the next `syscall` instruction of any task, before it."""
        return self._run_to(SyscallEntered)

    def step_fault(self) -> Stop:
        """To the next exception of any task, before the kernel handles it."""
        return self._run_to(Faulted)

    def step_fork(self) -> Stop:
        """Behind the next fork."""
        return self._run_to(Forked)

    def step_event(self, kind: type[Event]) -> Stop:
        """Behind the next kernel entry in which something of this kind happens."""
        return self._run_to(kind)

    def interrupt(self) -> None:
        """Make a running verb return. From any thread or signal handler."""
        self.system.interrupt()

    def switch(self, tid: int) -> None:
        """Give the CPU to another task. Raises DebugError if it cannot run now."""
        task = self.kernel.tasks.get(tid)
        if task is None or task.state is not State.RUNNABLE:
            raise DebugError(f"task {tid} cannot run" if task else f"there is no task {tid}")
        if task is self.current:
            return
        queue = self.kernel.sched.run_queue.tasks
        queue.remove(task)
        queue.appendleft(task)
        self.kernel.sched.yield_cpu()
        self.kernel.traps.dispatch()

    def lock(self, locked: bool) -> None:
        """While locked, no time slice ends: the current task runs until it waits, yields or exits."""
        self.tap.preempts = not locked

    def intervene(self) -> None:
        """Called before anything is changed by hand: what was known of the future does not hold any more."""

    def _tid(self) -> int:
        if self.current is None:
            raise DebugError("nothing is running any more")
        return self.current.tid

    def _run_to(self, kind: type[Event]) -> Stop:
        self._event = kind
        try:
            return self._run(None)
        finally:
            self._event = None

    # -- the loop -----------------------------------------------------------------------------------

    def _run(self, goal: Goal | None, limit: int | None = None) -> Stop:
        if self.current is None:
            return self._ended()
        self._goal, self._goal_since, self._limit = goal, None, limit
        self._prepare()
        machine = self.machine
        machine.let_pass(machine.regs[RIP])
        try:
            while True:
                self.stops = []
                self.rearm()
                reason = machine.run()
                self._judge(reason)
                if self.stops:
                    return self._stopped()
        finally:
            self._goal = None
            machine.stop_anywhere()
            machine.set_instruction_budget(None)

    def _prepare(self) -> None:
        """Tell the machine and the tap what is to be looked at."""
        self._catches = self.points.active(Catchpoint)
        self._marked = frozenset(point.address for point in self.points.active(Breakpoint))
        self._watches.reset()
        calls = self._event is SyscallEntered or any(c.before and c.kind is SyscallEntered for c in self._catches)
        faults = self.fatal or self._event is Faulted or any(c.before and c.kind is Faulted for c in self._catches)
        self.tap.before_call = self._before_call if calls else None
        self.tap.before_fault = self._before_fault if faults else None

    def rearm(self) -> None:
        """Tell the machine what the goal wants now."""
        goal, machine = self._goal, self.machine
        now = machine.instructions()
        machine.stop_anywhere()
        budget = None if self._limit is None else max(0, self._limit - now)
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
                wanted = goal.budget()
                budget = wanted if budget is None else budget if wanted is None else min(budget, wanted)
        machine.set_instruction_budget(budget)

    def _judge(self, reason: str) -> None:
        """Fill `stops` if there is a reason to."""
        if self.stops:
            return
        if self.current is None:
            self.stops.append(self._ended())
        elif reason == "interrupted":
            self.stops.append(self._here(Interrupted))
        elif reason == "access":
            self._accessed()
        elif reason in ("budget", "probe"):
            self._looked_at(reason)

    def _looked_at(self, reason: str) -> None:
        """Before an instruction that a breakpoint, a goal or the limit may be about."""
        goal, machine = self._goal, self.machine
        self._breakpoints()
        if not self.stops and goal is not None and self._tid() == goal.tid:
            if self._goal_since is not None:
                goal.ran(machine.instructions() - self._goal_since)
                self._goal_since = machine.instructions()
            if goal.reached(self):
                self.stops.append(self._here(Stepped))
        if not self.stops and self._limit is not None and machine.instructions() >= self._limit:
            self.stops.append(self._here(LimitReached))
        if not self.stops and reason == "probe":
            machine.let_pass(machine.regs[RIP])

    def _breakpoints(self) -> None:
        rip, tgid = self.machine.regs[RIP], self.current.tgid if self.current else 0
        if rip not in self._marked:
            return
        for point in self.points.active(Breakpoint):
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
                self._before(BeforeCall, point, call.number, call.arguments)
                return True
        if self._event is SyscallEntered:
            self._before(BeforeCall, None, call.number, call.arguments)
            return True
        return False

    def _before_fault(self, trap: Trap) -> bool:
        values = trap.vector, trap.error, trap.address, trap.verdict
        fault_class = trap.verdict.fault_class if trap.verdict else ""
        for point in self._catches:
            wanted = point.before and point.enabled and point.kind is Faulted
            wanted = wanted and point.tgid in (None, trap.task.tgid) and (not point.only or fault_class in point.only)
            if wanted and self._counts(point):
                self._before(BeforeFault, point, *values)
                return True
        if self._event is Faulted or (self.fatal and trap.fatal):
            self._before(BeforeFault, None, *values)
            return True
        return False

    def _before(self, kind: type[Stop], *values: object) -> None:
        self.stops.append(self._here(kind, *values))

    def _entry_over(self) -> bool:
        """The tap's `after`: what the events of this entry mean. True: stop."""
        events = self.tap.events
        self.log.extend(events)
        if self._catches or self._event:
            self._catch(events)
        if self._watches.any:
            self._watch()
        if self._goal is not None:
            self._follow(self._goal, events)
        return bool(self.stops)

    def _catch(self, events: Iterable[Event]) -> None:
        for event in events:
            for point in self._catches:
                if point.wants(event) and self._counts(point):
                    self.stops.append(self._here(Caught, point, event))
            if self._event is not None and isinstance(event, self._event):
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

    def _follow(self, goal: Goal, events: Iterable[Event]) -> None:
        """The goal's task may have forked, or be gone, or another may have the CPU now."""
        for event in events:
            if isinstance(event, Forked) and event.tid == goal.tid and self.follow == "child":
                goal.tid = event.child
            elif isinstance(event, Exited) and event.tid == goal.tid:
                self.stops.append(self._here(TaskGone, event.tid, event.status))
        self.rearm()
