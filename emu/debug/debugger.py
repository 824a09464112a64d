"""The debugger: runs a booted system and says why it stopped. Prints nothing; values in, values out.

`with System(program, options=Options(debug=True)) as system: d = Debugger(system)`. The verbs return a Stop (stops.py).
What there is to see at a stop is in state.py, paging.py and why.py, which take a Debugger or a kernel.
"""

from collections.abc import Generator
from contextlib import contextmanager

from emu.debug import goals, reverse, trail
from emu.debug.events import Event, Faulted, Forked, SyscallEntered, Time
from emu.debug.frames import backtrace
from emu.debug.points import Breakpoint, P, Point
from emu.debug.runner import DebugError, Plan, Runner
from emu.debug.stops import EntryChanged, Stop
from mini_kernel.task import SigInfo, State
from mini_kernel.x86 import RIP, RSP


class Debugger(Runner):
    """The verbs over one system. For its attributes see Runner."""

    # -- points -------------------------------------------------------------------------------------

    def add(self, point: P) -> P:
        """A new breakpoint, watchpoint or catchpoint. It gets a number."""
        return self.points.add(point)

    def break_at(self, place: int | str, **settings: object) -> Breakpoint:
        """A breakpoint at an address, a symbol, `symbol+0x12`, `file:line` or a line number. Raises DebugError."""
        return self.add(Breakpoint(address=self.locate(place), text=str(place), **settings))  # pyright: ignore[reportArgumentType]  # Point's fields

    @contextmanager
    def breaking_at(self, place: int | str, **settings: object) -> Generator[Breakpoint, None, None]:
        """`break_at` for the time of a `with` block."""
        point = self.break_at(place, **settings)
        try:
            yield point
        finally:
            self.points.remove(point.number)

    def locate(self, place: int | str) -> int:
        """The address of what `break_at` takes; of a line without code, that of the next one. Raises DebugError.

        Names are those of the program that runs now, or of the one that was booted.
        """
        if isinstance(place, int):
            return place
        name, plus, offset = place.partition("+")
        found = self.symbols().addresses().get(name.strip())
        if found is None:
            found = self._symbols.addresses().get(name.strip())
        file, colon, line = place.rpartition(":")
        if found is None and line.isdecimal():
            return self._line_address(file if colon else "", int(line[:9]))
        try:
            if found is None:
                found = int(name.strip().removeprefix("*"), 0)
            return found + int(offset, 0) if plus else found
        except ValueError:
            raise DebugError(f"there is no symbol, line or address {place!r}") from None

    def _line_address(self, file: str, line: int) -> int:
        lines = self.symbols().lines_from(file or self._present_file(), line)
        if not lines:
            where = f" of {file}" if file else ""
            raise DebugError(f"line {line}{where} has no code, nor has any behind it; an address is *{line:#x}")
        return lines[min(lines)]

    def _present_file(self) -> str:
        """The source file of the next instruction, or main's; "" is the program's first."""
        symbols = self.symbols()
        for address in (self.machine.regs[RIP], symbols.addresses().get("main")):
            line = symbols.line(address) if address is not None else None
            if line is not None:
                return line.file
        return ""

    def run(self, plan: Plan) -> Stop:
        """As Runner.run; bits that the CPU set in a watched entry are traced back to the instruction."""
        began = self.machine.instructions()
        stop = super().run(plan)
        if isinstance(stop, EntryChanged) and not stop.kernel:
            stop = reverse.pinpoint(self, stop, True, since=began) or stop
            self.stops = [stop]
        return stop

    # -- running ------------------------------------------------------------------------------------

    def cont(self, limit: int | None = None) -> Stop:
        """Run on, at most until `limit` instructions have been begun since boot."""
        return self.run(Plan(limit=limit))

    def step(self, count: int = 1) -> Stop:
        """`count` instructions of the current task, with the kernel entries they make. Others may run meanwhile.

        With `follow` "both" they are of whichever tasks run. For other steps see pursuit.py.
        """
        return self.step_one() if count == 1 else self.run(Plan(goals.Count(self.stepper(), count)))

    def next(self) -> Stop:
        """One instruction; a `call` with all it calls, a repeated string instruction with all its repeats."""
        goal = goals.over(self, self._tid())
        return self.step_one() if goal is None else self.run(Plan(goal))

    def finish(self, frame: int = 0) -> Stop:
        """Until the function returns, or that of an outer frame. Raises DebugError if that has no caller."""
        if not frame:
            return self.run(Plan(goals.Return(self._tid(), self.machine.regs[RSP])))
        frames = backtrace(self, limit=frame + 2).frames
        if len(frames) < frame + 2:
            raise DebugError(f"frame {frame} has no caller that is known")
        caller = frames[frame + 1]
        return self.run(Plan(goals.Arrive(self._tid(), caller.rip, caller.registers[RSP])))

    def step_line(self) -> Stop:
        """To another source line, into functions that have lines."""
        return self.run(Plan(goals.Line(self._tid(), self, False)))

    def next_line(self) -> Stop:
        """To another source line of this function or its caller."""
        return self.run(Plan(goals.Line(self._tid(), self, True)))

    def step_block(self) -> Stop:
        """To the next instruction that is jumped to."""
        return self.run(Plan(goals.Jump(self._tid())))

    def step_outside(self, low: int, high: int) -> Stop:
        """To an instruction outside [low, high), wherever that is."""
        return self.run(Plan(goals.Leave(self._tid(), low, high)))

    def until(self, place: int | str) -> Stop:
        """To a place, reached by the current task."""
        return self.run(Plan(goals.Arrive(self._tid(), self.locate(place))))

    def step_call(self) -> Stop:
        """To the next `syscall` instruction of any task, before it."""
        return self.run(Plan(event=SyscallEntered))

    def step_fault(self) -> Stop:
        """To the next exception of any task, before the kernel handles it."""
        return self.run(Plan(event=Faulted))

    def step_fork(self) -> Stop:
        """Behind the next fork."""
        return self.run(Plan(event=Forked))

    def step_event(self, kind: type[Event]) -> Stop:
        """Behind the next kernel entry in which something of this kind happens."""
        return self.run(Plan(event=kind))

    def interrupt(self) -> None:
        """Make a running verb return. From any thread or signal handler."""
        self.system.interrupt()

    # -- back ---------------------------------------------------------------------------------------

    def go(self, when: Time | int) -> Stop:
        """To a moment between the beginning and the latest one reached; an int is instructions since boot.

        Raises DebugError for another one.
        """
        return reverse.go(self, Time(when, 0) if isinstance(when, int) else when)

    def back(self, count: int = 1) -> Stop:
        """Undo `count` instructions of the current task, and what others did since. A fault is a step of its own."""
        return reverse.step(self, count)

    def back_over(self) -> Stop:
        """Undo one instruction; behind a `call`, the call with all it called."""
        return trail.over(self)

    def back_out(self, frame: int = 0) -> Stop:
        """To the `call` that led into this function, or an outer frame's; of a handler, before the signal came."""
        return trail.out(self, frame)

    def back_line(self, over: bool = False) -> Stop:
        """To the beginning of the source line before; with `over` not into what was called."""
        return trail.line(self, over)

    def back_cont(self) -> Stop:
        """To the last breakpoint, watch hit, caught event or fatal fault before."""
        return reverse.cont(self)

    def back_to(self, kind: type[Event]) -> Stop:
        """To the last event of this kind before: calls and faults before the kernel, others behind it."""
        return reverse.cont(self, event=kind)

    def last(self, point: Point) -> Stop | None:
        """The last hit of one point before now, such as `Watchpoint(address=a, length=8)`: who wrote this last?

        None if there is none as far back as is known. The system stays where it is; the point need not be added.
        """
        return reverse.last(self, point)

    # -- by hand ------------------------------------------------------------------------------------

    def send(self, signal: int | SigInfo, tid: int | None = None) -> None:
        """Let a task, the current one if not said, get a signal next, in place of the one that it stands before.

        0: no signal at all. Raises DebugError if there is no such task or signal.
        """
        self.signals.send(signal, tid)

    def switch(self, tid: int) -> None:
        """Give the CPU to another task. Raises DebugError if it cannot run now."""
        task = self.kernel.tasks.get(tid)
        if task is None or task.state is not State.RUNNABLE:
            raise DebugError(f"task {tid} cannot run" if task else f"there is no task {tid}")
        if task is self.current:
            return
        self.intervene()
        queue = self.kernel.sched.run_queue.tasks
        queue.remove(task)
        queue.appendleft(task)
        self.kernel.sched.yield_cpu()
        self.kernel.traps.dispatch()

    def lock(self, locked: bool) -> None:
        """While locked, no time slice ends: the current task runs until it waits, yields or exits."""
        self.intervene()
        self.tap.preempts = not locked

    def _tid(self) -> int:
        if self.current is None:
            raise DebugError("nothing is running any more")
        return self.current.tid
