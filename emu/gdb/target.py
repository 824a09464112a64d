"""The guest as gdb sees it: inferiors and threads, resuming some of them, and what to say about a stop.

A process is an inferior, a task a thread of it; ids are the guest's. gdb is told of a process when it is born, by the
stop of its parent's fork, and lets it go with a detach; what it has let go runs on and stops for nothing. Tasks that
a resume leaves out are held: they keep their place in the run queue and do not get the CPU.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from emu.boot import System
from emu.debug.debugger import Debugger
from emu.debug.events import (
    Executed,
    Exited,
    Faulted,
    Forked,
    Switched,
    SyscallEntered,
    SyscallReturned,
)
from emu.debug.points import Catchpoint
from emu.debug.stops import (
    AtBeginning,
    AtBreakpoint,
    BeforeCall,
    BeforeFault,
    BeforeSignal,
    Caught,
    Ended,
    Interrupted,
    RecordingOver,
    Stop,
    Watched,
)
from emu.gdb import description, registers
from emu.gdb.inferior import Inferior
from emu.gdb.signals import Signals, Wishes
from emu.recording import Recording
from mini_kernel.process import exit_group
from mini_kernel.task import SigInfo, State, Task
from mini_kernel.uapi.numbers import SYS_clone, SYS_clone3, SYS_vfork
from mini_kernel.uapi.signal import SIGINT, SIGKILL
from mini_kernel.x86 import RIP

_FORKS: Final = frozenset((SYS_vfork, SYS_clone, SYS_clone3))
#: Classes of faults that become signals; "" are exceptions that are no page faults.
_REFUSED: Final = frozenset(("", "unmapped", "protection", "bus", "oom"))
_WATCH_NAMES: Final = {"write": "watch", "change": "watch", "read": "rwatch", "access": "awatch"}


class Action(NamedTuple):
    """What a thread shall do: "c" continue, "s" step, "r" step while in [start, end); `signo` is delivered first."""

    kind: str
    signo: int = 0
    start: int = 0
    end: int = 0


class Halt(NamedTuple):
    """A stop, ready to be told: the packet, and the thread it is about (0, 0 if a process is gone)."""

    packet: str
    tgid: int = 0
    tid: int = 0


class Target:
    """One run of the program, under a debugger. `boot` makes the system anew, of `recording` if it is a replay."""

    def __init__(self, boot: Callable[[list[str] | None], System], recording: Recording | None = None) -> None:
        self._boot = boot
        self._recording = recording
        self.say: Callable[[str], None] = lambda text: None
        self._wishes = Wishes()
        self.start(None)

    def start(self, arguments: list[str] | None) -> None:
        """Boot, with other arguments if they are given. Raises EmuError."""
        self.system = self._boot(arguments)
        self.d = Debugger(self.system, self._recording)
        self.inferiors: dict[int, Inferior] = {}
        self.signals = Signals(self.d, self.inferiors, self._wishes)
        self.ended: Halt | None = None
        self.last: Halt | None = None
        self._queue: deque[Halt] = deque()
        self._vforks: dict[int, int] = {}  # parent tid -> child tid
        self.aside: dict[int, registers.Aside] = {}
        self._calls: list[Catchpoint] = []
        self._catch()
        if self.d.current is not None:
            self.attach(self.d.current.tgid)

    def restart(self, arguments: list[str] | None) -> None:
        """`start` in place of what there is. Raises EmuError with that as it was."""
        before = self.system
        self.start(arguments)
        before.close()

    def close(self) -> None:
        """Give the system's memory back."""
        self.system.close()

    def _catch(self) -> None:
        """What every session wants to know of."""
        self._standing = [self.d.add(Catchpoint(kind=kind)) for kind in (Forked, Executed, Exited)]
        vfork_ends = Catchpoint(kind=SyscallReturned, only=_FORKS, condition=lambda d: bool(self._vforks))
        self._standing.append(self.d.add(vfork_ends))
        self.d.add(Catchpoint(kind=Faulted, only=_REFUSED, before=True))
        self.signals.catch()

    # -- threads ------------------------------------------------------------------------------------

    def tasks(self, tgid: int | None = None) -> list[Task]:
        """The live tasks of one attached process, or all, by id."""
        kernel = self.d.kernel
        found = [t for t in kernel.tasks.values() if t.alive and t.user_mm is not None and t.tgid in self.inferiors]
        return sorted((t for t in found if tgid in (None, t.tgid)), key=lambda t: t.tid)

    def attach(self, tgid: int) -> bool:
        """Take a live process that was let go; False if there is none."""
        if all(t.tgid != tgid or not t.alive for t in self.d.kernel.tasks.values()):
            return False
        self.inferiors.setdefault(tgid, Inferior(self.d, tgid))
        return True

    def detach(self, tgid: int) -> None:
        """Let a process go, with the signal it stands before if gdb wants it to have that."""
        self.signals.let_go(self.tasks(tgid))
        inferior = self.inferiors.pop(tgid, None)
        if inferior is not None:
            inferior.clear()

    # -- points -------------------------------------------------------------------------------------

    def catch_calls(self, numbers: Iterable[int] | None) -> None:
        """Stop at these system calls, at all for an empty list, at none for None."""
        for point in self._calls:
            self.d.points.remove(point.number)
        self._calls = []
        if numbers is not None:
            only = frozenset(numbers)
            for kind, before in ((SyscallEntered, True), (SyscallReturned, False)):
                self._calls.append(self.d.add(Catchpoint(kind=kind, only=only, before=before)))

    # -- running ------------------------------------------------------------------------------------

    def resume(self, actions: dict[int, Action]) -> Halt:
        """Let the tasks of `actions` go on (and all that gdb does not know) until something is to be told."""
        if self._queue:
            return self._told(self._queue.popleft())
        if self.ended is not None:
            return self.ended
        self.signals.resume({tid: action.signo for tid, action in actions.items()})
        self.signals.show()
        held = frozenset(t.tid for t in self.tasks() if t.tid not in actions)
        stepper = next(((tid, a) for tid, a in actions.items() if a.kind in "sr"), None)
        while True:
            if not self._hold(held):
                return self._told(self._stalled())
            stop = self._run(stepper)
            halt = self._judge(stop, stepper) or self._passing(stop)
            if halt is not None:
                return self._told(halt)

    def _passing(self, stop: Stop) -> Halt | None:
        """A stop that is not told may be at a breakpoint, which going on from would pass."""
        task = self.d.current
        inferior = self.inferiors.get(task.tgid) if task is not None else None
        if task is None or inferior is None or not isinstance(stop, Caught):
            return None
        rip = self.d.machine.regs[RIP]
        return self._halt(stop, "05", "swbreak:;", task.tid) if inferior.breaks_at(rip) else None

    def backwards(self, step: bool) -> Halt:
        """One instruction back, or back to what stopped before. Raises DebugError.

        gdb was told of births and deaths when they happened, and is not told of them backwards.
        """
        self._queue.clear()
        self.signals.forget()
        self.aside.clear()
        for point in self._standing:
            point.enabled = False
        try:
            stop = self.d.back() if step else self.d.back_cont()
            if isinstance(stop, Watched):
                self.d.back()  # gdb compares values, and wants to be where the old one is
                self.d.stops = [replace(stop, rip=self.d.machine.regs[RIP])]
        finally:
            for point in self._standing:
                point.enabled = True
        self.ended = None
        self._reconcile(stop)
        halt = self._judge(stop, None) or self._halt(stop, "05") or self._stalled()
        return self._told(halt)

    def _reconcile(self, stop: Stop) -> None:
        """Know the processes of an earlier moment: those that live, of whom some had been let go or had ended."""
        alive = {t.tgid for t in self.d.kernel.tasks.values() if t.alive}
        for tgid in [tgid for tgid in self.inferiors if tgid not in alive]:
            self.detach(tgid)
        if stop.tgid:
            self.attach(stop.tgid)

    def _told(self, halt: Halt) -> Halt:
        self.last = halt
        return halt

    def _hold(self, held: frozenset[int]) -> bool:
        """Keep these tasks from running; False if nobody else can."""
        sched, traps = self.d.kernel.sched, self.d.kernel.traps
        if held != sched.held:
            self.d.intervene()
            sched.held = held
        current = sched.current
        if current is not None and current.tid in held:
            sched.yield_cpu()
            current = None
        if current is None:
            traps.dispatch()
        return sched.current is not None

    def _run(self, stepper: tuple[int, Action] | None) -> Stop:
        d = self.d
        if stepper is None:
            return d.cont()
        tid, action = stepper
        task = d.kernel.tasks.get(tid)
        if task is not None and d.current is not task:
            if task.state is not State.RUNNABLE:
                return d.step_event(Switched)
            d.switch(tid)
        if action.kind == "r":
            return d.step_outside(action.start, action.end)
        return d.step()

    # -- stops --------------------------------------------------------------------------------------

    def _judge(self, stop: Stop, stepper: tuple[int, Action] | None) -> Halt | None:
        """What to tell of a stop, None to go on. What else happened at the same time is told next."""
        halts = [halt for each in (self.d.stops or [stop]) if (halt := self._halt_of(each)) is not None]
        if halts:
            self._queue.extend(halts[1:])
            return halts[0]
        if stepper is not None and self.d.current is not None and stop.tid == stepper[0]:
            passing = isinstance(stop, Caught) and isinstance(stop.event, Switched)
            return None if passing else self._halt(stop, "05")
        return None

    def _halt_of(self, stop: Stop) -> Halt | None:
        match stop:
            case Ended():
                return self.ended or self._stalled()
            case Interrupted():
                return self._halt(stop, f"{SIGINT:02x}")
            case AtBreakpoint():
                return self._halt(stop, "05", "swbreak:;")
            case Watched():
                name = _WATCH_NAMES[stop.point.kind]
                return self._halt(stop, "05", f"{name}:{stop.point.address:x};", stop.by)
            case BeforeCall():
                return self._halt(stop, "05", f"syscall_entry:{stop.number:x};")
            case BeforeFault():
                info = self.signals.fault(stop)
                return self._signal(stop, stop.tid, info) if info is not None else None
            case BeforeSignal():
                return None if self.signals.was_told(stop) else self._signal(stop, stop.tid, stop.info)
            case Caught():
                return self._event(stop)
            case AtBeginning():
                return self._halt(stop, "00", "replaylog:begin;")
            case RecordingOver():
                return self._halt(stop, "00", "replaylog:end;")
            case _:
                return None

    def _event(self, stop: Caught) -> Halt | None:
        event = stop.event
        match event:
            case Exited():
                return self._exited(event) if event.last else None
            case Forked() if event.tgid in self.inferiors and event.kind != "thread":
                self.inferiors[event.child_tgid] = Inferior(self.d, event.child_tgid)
                name = "vfork" if event.kind == "vfork" else "fork"
                if name == "vfork":
                    self._vforks[event.tid] = event.child
                return self._halt(stop, "05", f"{name}:p{event.child_tgid:x}.{event.child:x};", event.tid)
            case Executed() if event.tgid in self.inferiors:
                self.inferiors[event.tgid].clear()
                return self._halt(stop, "05", f"exec:{event.path.hex()};", event.tid)
            case SyscallReturned():
                if self._vforks.get(event.tid) is not None and stop.point not in self._calls:
                    del self._vforks[event.tid]
                    return self._halt(stop, "05", "vforkdone:;", event.tid)
                return self._halt(stop, "05", f"syscall_return:{event.number:x};", event.tid) if stop.point else None
            case _:
                return None

    def _exited(self, event: Exited) -> Halt | None:
        """A process is gone."""
        if self.inferiors.pop(event.tgid, None) is None:
            return None
        signo = event.status & 0x7F
        code = f"X{description.signal_to_gdb(signo):02x}" if signo else f"W{event.status >> 8 & 0xFF:02x}"
        halt = Halt(f"{code};process:{event.tgid:x}")
        if not self.inferiors:
            self.ended = halt
        return halt

    def _signal(self, stop: Stop, tid: int, info: SigInfo) -> Halt | None:
        task = self.d.kernel.tasks.get(tid)
        inferior = self.inferiors.get(task.tgid) if task is not None else None
        if inferior is None:
            return None
        inferior.signal = info
        return self._halt(stop, f"{description.signal_to_gdb(info.signo):02x}", "", tid)

    def _halt(self, stop: Stop, signo: str, reason: str = "", tid: int = 0) -> Halt | None:
        """A T packet, with the registers that gdb asks for first. None for a process that gdb has let go."""
        task = self.d.kernel.tasks.get(tid or stop.tid)
        if task is None or task.tgid not in self.inferiors:
            return None
        values = registers.values_of(self.d, task)
        regs = "".join(f"{number:02x}:{values[number].hex()};" for number in description.EXPEDITED)
        return Halt(f"T{signo}{reason}{regs}thread:p{task.tgid:x}.{task.tid:x};core:0;", task.tgid, task.tid)

    def _stalled(self) -> Halt:
        """Nothing that may run can: all wait, or what they wait for is held."""
        tasks = self.tasks()
        if not tasks:
            return self.ended or Halt("W00")
        self.say("Every process that may run waits for something that cannot happen.\n")
        first = tasks[0]
        return Halt(f"T00thread:p{first.tgid:x}.{first.tid:x};core:0;", first.tgid, first.tid)

    # -- looking ------------------------------------------------------------------------------------

    def run_free(self) -> None:
        """Run on without a debugger, to the end or until interrupted."""
        for point in list(self.d.points):
            self.d.points.remove(point.number)
        self.d.fatal = False
        self.inferiors.clear()
        self.signals.show()
        self._hold(frozenset())
        stop = self.d.cont()
        self.d.fatal = True
        self._catch()
        if isinstance(stop, Ended):
            self.ended = Halt("W00")

    def kill_one(self, tgid: int) -> None:
        """End one process."""
        self.detach(tgid)
        kernel = self.d.kernel
        if tgid in kernel.processes and not kernel.processes[tgid].zombie:
            self.d.intervene()
            exit_group(kernel, kernel.processes[tgid], SIGKILL)

    def kill(self) -> None:
        """End everything."""
        self.system.kernel.shutdown()
        self.inferiors.clear()
        self.ended = Halt("X09")
