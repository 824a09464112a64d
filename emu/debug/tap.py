"""Between the CPU and the kernel: sees every kernel entry before and after, writes the log, and asks for stops.

The machine enters the tap instead of the kernel's trap handler; the tap passes the entry on, listens to what the kernel
tells meanwhile, and looks at the result when the entry is over. Stops are asked for there, so that no kernel function
is ever interrupted. Only calls and faults can also be stopped *before* the kernel sees them: the entry is undone, and
the instruction comes again.

Delivering a signal is an entry of its own, right behind the one that found it due: between them is a moment at which
the registers are those of the interrupted code. It is there whether the system is stopped at it or not.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from emu.boot import System
from emu.debug.events import (
    Event,
    Executed,
    Exited,
    Faulted,
    Flushed,
    Forked,
    FrameCopied,
    SignalDelivered,
    Switched,
    SyscallEntered,
    SyscallReturned,
    SyscallWaits,
    TableBroken,
    TableReused,
    TablesShared,
    Time,
    Walk,
)
from emu.debug.log import Divergence
from emu.machine import DebugMachine
from emu.tape import Tape
from mini_kernel.mm.foresee import Verdict, foresee
from mini_kernel.signal import due, is_handled
from mini_kernel.syscalls.table import TABLE
from mini_kernel.task import SigInfo, Task
from mini_kernel.trap import ARGUMENTS
from mini_kernel.uapi.numbers import SYS_execve, SYS_execveat
from mini_kernel.uapi.signal import SIGKILL
from mini_kernel.x86 import PF_INSTR, RAX, RIP, RSP, TASK_SIZE, VEC_BP, VEC_DB, VEC_PF

_EXECS: Final = frozenset((SYS_execve, SYS_execveat))


class Entry(NamedTuple):
    """A kernel entry: instructions begun before it, whether it was a system call, how many were none so far; whose."""

    instructions: int
    call: bool
    traps: int
    tid: int = 0


@dataclass(frozen=True)
class Call:
    """A system call that is about to be made."""

    task: Task
    number: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Trap:
    """An exception that is about to be handled. `fatal`: it will kill the process."""

    task: Task
    vector: int
    error: int
    address: int
    verdict: Verdict | None
    fatal: bool


@dataclass(frozen=True)
class Due:
    """A signal that is about to be delivered."""

    task: Task
    info: SigInfo


def _no_end() -> bool:
    return False


class Tap:
    """TrapHandler, Observer, SignalGate and MemoryListener in one.

    before_call, before_fault, before_signal
                                 asked about each one; True: stop before it (the same one is not asked about again)
    accessed                     told what the kernel reads and stores of user memory (MemoryListener.user_access)
    before                       called when one begins, unless it is held back
    after                        called when an entry is over; True: stop
    bound                        a moment to stand still at
    preempts                     False: time slices do not end
    last_entry                   the last one
    digests                      of a recording: the registers' checksums at exceptions and ticks
    entries                      kernel entries so far; part of the time
    events                       of the entry that is going on or has just ended
    """

    def __init__(self, system: System, machine: DebugMachine) -> None:
        self.kernel = system.kernel
        self.machine = machine
        self.before_call: Callable[[Call], bool] | None = None
        self.before_fault: Callable[[Trap], bool] | None = None
        self.before_signal: Callable[[Due], bool] | None = None
        self.after: Callable[[], bool] = _no_end
        self.before: Callable[[], None] | None = None
        self.accessed: Callable[[int, int, int, int, bool], None] | None = None
        self.tapes: tuple[Tape, ...] = ()
        self.last_entry = Entry(-1, True, 0)
        self.digests: Sequence[int] = ()
        self.bound: Time | None = None
        self.preempts = True
        self.entries = 0
        self.events: list[Event] = []
        self._held: tuple[int, int] | None = None  # (tid, instructions) of the entry that was stopped before
        self._restarts: dict[int, int] = {}  # tid -> the instruction that its last entry left begun
        self._told: dict[int, int] = {}  # tid -> the signal that it was stopped before
        self._open = False  # an entry is going on
        self._goes_on = False  # so is go_on
        self.interrupted = 0, 0  # RIP and RSP where the last signal was delivered
        self._flushes = True  # flushes that are due have come up in it
        self._by: Task | None = None  # who had the CPU when it began
        self._walk: Walk = ()
        system.observe(self)
        self.kernel.gate = self
        self.kernel.frames.listener = self
        machine.attach(self)

    def now(self) -> Time:
        """The present moment."""
        return Time(self.machine.instructions(), self.entries)

    def hold_again(self) -> None:
        """A call or fault that was stopped before shall not go on, but stop before itself again."""
        self._held = None

    def forget(self, last_entry: Entry) -> None:
        """The system has been put back: nothing that was seen holds."""
        self.events = []
        self._held = None
        self._told.clear()
        self._restarts.clear()
        self.last_entry = last_entry

    def stand(self) -> None:
        """The system stands before nothing that it was stopped for, but before all that comes."""
        self._held = None
        self._told.clear()

    def held_at(self, task: Task, call: bool) -> None:
        """The system stands before an entry of this task as if it had just been stopped there.

        A system call's instruction has not been begun, one that faults has.
        """
        self._held = task.tid, self.machine.instructions() + call

    def told(self, tid: int, signo: int) -> None:
        """A task stands before this signal as if the system had just been stopped there."""
        self._told[tid] = signo

    def told_of(self, tid: int) -> int:
        """The signal that the system was last stopped before in this task, 0 for none."""
        return self._told.get(tid, 0)

    def untold(self, tid: int) -> None:
        """That signal is gone."""
        self._told.pop(tid, None)

    @property
    def is_before_signal(self) -> bool:
        """True if the current task is to look at signals before its next instruction."""
        task = self.kernel.sched.current
        return task is not None and task.attention

    @property
    def is_behind_entry(self) -> bool:
        """True if the next instruction has caused a kernel entry already: it faulted, or the time slice was over."""
        return not self.last_entry.call and self.last_entry.instructions == self.machine.instructions()

    @property
    def is_behind_own_entry(self) -> bool:
        """The same, and it was the current task's: not that of another one that lost the CPU to it."""
        task = self.kernel.sched.current
        return self.is_behind_entry and task is not None and task.tid == self.last_entry.tid

    @property
    def is_between_entries(self) -> bool:
        """True if the next instruction has not been begun: it is not held back, and has caused no entry."""
        return self._held is None and not self.is_behind_entry

    @property
    def is_at_bound(self) -> bool:
        """True if the moment has come."""
        return self.bound is not None and self.now() >= self.bound

    def _was_cancelled(self) -> bool:
        """True if the call waited for input when the user interrupted: it has not happened."""
        cancelled = any(tape.cancelled for tape in self.tapes)
        for tape in self.tapes:
            tape.cancelled = False
        return cancelled

    # -- entries ------------------------------------------------------------------------------------

    def syscall(self) -> None:
        """hw.TrapHandler."""
        task = self._current()
        ask = self.before_call
        if ask is not None and self._hold_call(task, ask):
            return
        self._begin(task, True)
        number = self.machine.regs[RAX]
        self.kernel.traps.syscall()
        if self._was_cancelled():
            self.machine.regs[RAX] = number
            self.machine.undo_syscall()
            self.entries -= 1
            self.events = []
            self._open = False
            return
        self._end()

    def exception(self, vector: int, error: int, cr2: int) -> None:
        """hw.TrapHandler."""
        task = self._current()
        ask = self.before_fault
        if ask is not None and vector not in (VEC_BP, VEC_DB) and self._hold_fault(task, vector, error, cr2, ask):
            return
        self._begin(task, False)
        self._walk = self.walk(task, cr2) if vector == VEC_PF else ()
        fetching = vector == VEC_PF and bool(error & PF_INSTR)
        if not fetching or self.machine.is_let_pass:  # nobody was asked about an instruction that was not there yet
            self._restarts[task.tid] = self.machine.regs[RIP]
        self.kernel.traps.exception(vector, error, cr2)
        self._end()

    def tick(self) -> None:
        """hw.TrapHandler."""
        if not self.preempts:
            return
        task = self._current()
        self._begin(task, False)
        if self.machine.is_let_pass:
            self._restarts[task.tid] = self.machine.regs[RIP]
        self.kernel.traps.tick()
        self._end()

    def go_on(self) -> None:
        """From a stop before a signal: deliver it, or what has become of it by hand, or stop before another one.

        Precondition: `is_before_signal`.
        """
        task = self._current()
        info, self._flushes = due(task), False
        if info is None or info.signo == SIGKILL:
            self._part(task)
        self._goes_on = True
        try:
            self.kernel.traps.dispatch()
        finally:
            self._goes_on = False
        self._end()

    def _current(self) -> Task:
        task = self.kernel.sched.current
        assert task is not None
        return task

    def _part(self, task: Task) -> None:
        """An entry begins, or the part of one that begins behind a moment at which it could be stopped."""
        self.entries += 1
        self.events = []
        self._open, self._by = True, task

    def _begin(self, task: Task, call: bool) -> None:
        if self.before is not None:
            self.before()
        self._part(task)
        traps = self.last_entry.traps
        self.last_entry = Entry(self.machine.instructions(), call, traps if call else traps + 1, task.tid)
        if not call and traps < len(self.digests) and self.digests[traps] != zlib.crc32(self.machine.regs):
            raise Divergence(self.now(), [], [], "the registers are others than when it was recorded")
        self._flushes = True

    def _end(self) -> None:
        if not self._open:
            return  # it was over when the machine was stopped before a signal
        machine = self.machine
        task = self.kernel.sched.current
        if task is not None:
            begun = self._restarts.pop(task.tid, None)
            if begun is not None and begun == machine.regs[RIP]:
                machine.let_pass(begun)
        if self._close():
            machine.stop()

    def _close(self) -> bool:
        """The entry is over, or its part up to a signal. True: stop."""
        self._open = False
        before, task = self._by, self.kernel.sched.current
        assert before is not None
        if self._flushes and self.machine.flush_due:
            self._add(Flushed, before, self.machine.flush_due == "code")
        self._flushes = False  # if it goes on, what has been told of is still due
        if task is not before:
            self._add(Switched, before, task.tid if task is not None else 0)
        return self.after()

    # -- stops before the kernel ---------------------------------------------------------------------

    def _was_held(self, task: Task) -> bool:
        """True if this very entry was stopped before: it goes on now."""
        held, self._held = self._held, None
        return held == (task.tid, self.machine.instructions())

    def _hold_call(self, task: Task, ask: Callable[[Call], bool]) -> bool:
        if self._was_held(task):
            return False
        here = task.tid, self.machine.instructions()
        regs = self.machine.regs
        number = regs[RAX]
        entry = TABLE.get(number)
        if not ask(Call(task, number, ARGUMENTS[entry.arity if entry else 6](regs))):
            return False
        self.machine.undo_syscall()
        self._hold(here)
        return True

    def _hold_fault(self, task: Task, vector: int, error: int, cr2: int, ask: Callable[[Trap], bool]) -> bool:
        if self._was_held(task):
            return False
        verdict = foresee(task.mm, cr2, error) if vector == VEC_PF else None
        if not ask(Trap(task, vector, error, cr2, verdict, self._is_fatal(task, vector, verdict))):
            return False
        self.machine.undo_exception()
        self._hold((task.tid, self.machine.instructions()))
        return True

    def _hold(self, here: tuple[int, int]) -> None:
        self._held = here
        self.events = []
        self.machine.stop()

    def holds(self, task: Task, info: SigInfo) -> bool:
        """SignalGate."""
        if info.signo == SIGKILL:
            return False
        if not (self._open or self._goes_on) or any(tape.cancelled for tape in self.tapes):
            return True
        told = self._told.get(task.tid) == info.signo
        stop = self._open and self._close()
        if not stop and not told and not info.told and self.before_signal is not None:
            stop = self.before_signal(Due(task, info))
        if stop:
            self.machine.stop()
            return True
        if told:
            del self._told[task.tid]
        self.interrupted = self.machine.regs[RIP], self.machine.regs[RSP]
        self._part(task)
        return False

    def _is_fatal(self, task: Task, vector: int, verdict: Verdict | None) -> bool:
        """True if the process dies of this exception. (rdtsc, which the kernel emulates, is none.)"""
        if verdict is not None:
            signo = verdict.signal
        else:
            info = self.kernel.traps.foresee(task, vector)
            signo = info.signo if info is not None else 0
        return bool(signo) and not (is_handled(task, signo) and not task.blocked & 1 << signo - 1)

    # -- what the kernel tells -----------------------------------------------------------------------

    @staticmethod
    def walk(task: Task, address: int) -> Walk:
        """The walk for an address, () outside user space or without an address space."""
        return tuple(task.mm.pt.walk(address)) if task.user_mm is not None and address < TASK_SIZE else ()

    def _add(self, kind: Callable[..., Event], task: Task, *values: object) -> None:
        self.events.append(kind(self.now(), task.tid, task.tgid, *values))

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """Observer."""
        self._add(SyscallEntered, task, number, arguments)

    def syscall_wait(self, task: Task, number: int) -> None:
        """Observer."""
        self._add(SyscallWaits, task, number)

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """Observer."""
        self._add(SyscallReturned, task, number, arguments, result)
        if number in _EXECS and result == 0:
            self._add(Executed, task, task.exe_path)

    def signal(self, task: Task, info: SigInfo) -> None:
        """Observer."""
        self._add(SignalDelivered, task, info)

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """Observer."""
        self._add(Faulted, task, address, error, fault_class, self._walk, self.walk(task, address))

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """Observer."""
        self._add(Forked, task, child.tid, child.tgid, kind)

    def exited(self, task: Task, status: int) -> None:
        """Observer."""
        self._add(Exited, task, status, not task.process.tasks)

    def table_broken(self, pgd: int, slot: int, old: int, new: int) -> None:
        """MemoryListener."""
        self._add(TableBroken, self._owner(pgd), slot, old, new)

    def table_reused(self, pgd: int, slot: int, table: int) -> None:
        """MemoryListener."""
        self._add(TableReused, self._owner(pgd), slot, table)

    def tables_shared(self, pgd: int, child: int, tables: int) -> None:
        """MemoryListener."""
        self._add(TablesShared, self._owner(pgd), tables)

    def frame_copied(self, pgd: int, address: int, source: int, new: int) -> None:
        """MemoryListener."""
        self._add(FrameCopied, self._owner(pgd), address, source, new)

    def user_access(self, pgd: int, address: int, physical: int, n: int, write: bool) -> None:
        """MemoryListener."""
        if self.accessed is not None:
            self.accessed(pgd, address, physical, n, write)

    def _owner(self, pgd: int) -> Task:
        """A task of the address space; the one that entered the kernel, where it has none yet or any more."""
        tasks = self.kernel.tasks.values()
        found = (t for t in tasks if t.user_mm is not None and t.user_mm.pt.pgd == pgd)
        return next(found, None) or self.kernel.sched.loaded or next(iter(tasks))
