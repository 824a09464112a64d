"""Signals as gdb has them: which it wants to see, what it makes of those it has seen, and their siginfo_t."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from emu.debug import state
from emu.debug.debugger import Debugger
from emu.debug.events import SignalDelivered
from emu.debug.points import Catchpoint
from emu.debug.stops import BeforeFault, BeforeSignal
from emu.gdb.inferior import Inferior
from mini_kernel.signal import pack_info, unpack_info
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi.signal import SIGKILL, SIGRTMAX, SIGTRAP, TRAP_BRKPT
from mini_kernel.x86 import RIP


class FaultTold(NamedTuple):
    """An exception that gdb was told of as the signal it becomes, before the kernel handles it."""

    tid: int
    signo: int
    rip: int


@dataclass
class Wishes:
    """What gdb has said, once for all runs.

    passed     delivered without a word: gdb does not want to see them (QPassSignals)
    program    what a process that is let go gets (QProgramSignals); None: all
    """

    passed: frozenset[int] = frozenset()
    program: frozenset[int] | None = None


class Signals:
    """Of one Target's run."""

    def __init__(self, d: Debugger, inferiors: Mapping[int, Inferior], wishes: Wishes) -> None:
        self._d = d
        self._inferiors = inferiors
        self.wishes = wishes
        self._told: FaultTold | None = None
        self._point = Catchpoint(kind=SignalDelivered, before=True)

    def catch(self) -> None:
        """Stop before those that gdb wants to see."""
        self._d.add(self._point)
        self.let_pass(self.wishes.passed)

    def let_pass(self, numbers: frozenset[int]) -> None:
        """gdb does not want to see these."""
        self.wishes.passed = numbers
        self._point.only = frozenset(range(1, SIGRTMAX + 1)) - numbers
        self._point.enabled = bool(self._point.only)

    def show(self) -> None:
        """As under ptrace(2), signals come up though their process ignores them; not those that gdb does not want."""
        wanted = frozenset(range(1, SIGRTMAX + 1)) - self.wishes.passed - {SIGKILL}
        for tgid, process in self._d.kernel.processes.items():
            shown = wanted if tgid in self._inferiors else frozenset[int]()
            if process.shown != shown and not process.zombie:
                self._d.intervene()
                process.shown = shown

    def forget(self) -> None:
        """The system has been put back."""
        self._told = None

    def fault(self, stop: BeforeFault) -> SigInfo | None:
        """The signal that an exception becomes; None if gdb does not want to see it."""
        if stop.verdict is not None:
            info = SigInfo(stop.verdict.signal, stop.verdict.code, address=stop.address)
        else:
            info = self._d.kernel.traps.foresee(self._d.kernel.tasks[stop.tid], stop.vector)
        if info is None or not info.signo or info.signo in self.wishes.passed:
            return None
        self._told = FaultTold(stop.tid, info.signo, stop.rip)
        return info

    def was_told(self, stop: BeforeSignal) -> bool:
        """True if gdb knows of it: it was told when the cause stopped."""
        told = self._told
        if told is None or told[:2] != (stop.tid, stop.info.signo):
            return False
        self._told = None
        return True

    def resume(self, signals: Mapping[int, int]) -> None:
        """What gdb passes on, by tid: what a task stands before comes by itself, another signal takes its place."""
        d, kernel = self._d, self._d.kernel
        fault, self._told = self._told, None
        for tid, signo in signals.items():
            task = kernel.tasks.get(tid)
            inferior = self._inferiors.get(task.tgid) if task else None
            if inferior is None:
                continue
            info, inferior.signal = inferior.signal, None
            if fault is not None and fault == (tid, signo, state.registers(d, tid).general[RIP]):
                self._told = fault
                continue
            if fault is not None and fault.tid == tid:
                d.tap.hold_again()  # not delivered: the instruction faults, and stops, again
            if signo != d.tap.told_of(tid):
                d.send(info if info is not None and info.signo == signo else signo, tid)

    def let_go(self, tasks: Iterable[Task]) -> None:
        """A process is let go: what its tasks stand before they get if they may."""
        program = self.wishes.program
        for task in tasks if program is not None else ():
            if self._d.tap.told_of(task.tid) not in (0, *(program or ())):
                self._d.send(0, task.tid)

    def info(self, tgid: int) -> bytes:
        """siginfo_t of the last stop; of a breakpoint, if it was none for a signal."""
        inferior = self._inferiors.get(tgid)
        info = inferior.signal if inferior else None
        return pack_info(info or SigInfo(SIGTRAP, TRAP_BRKPT))

    def set_info(self, task: Task, data: bytes) -> None:
        """Another siginfo_t for the last stop: that is what is delivered. Raises ValueError for one that is none."""
        info = unpack_info(data)
        self._inferiors[task.tgid].signal = info
        if self._d.tap.told_of(task.tid) == info.signo:
            self._d.send(info, task.tid)
            self._d.tap.told(task.tid, info.signo)
