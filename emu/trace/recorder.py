"""The observer that records events."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from emu.listeners import Silent
from emu.trace.event import Event, access_name, call_name
from emu.trace.filter import Filter
from emu.trace.names import Names
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi import signal_names
from mini_kernel.uapi.numbers import SYS_brk
from mini_kernel.x86 import RIP, RSP

_TIMES: Final = re.compile(r"(tv_n?u?sec=)\d+")  # they depend on how the engine counts blocks


class Wording(NamedTuple):
    """How system calls are put into words.

    begin   what `end` wants to have, and the arguments that are known before the call
    end     the other arguments, and the result
    """

    begin: Callable[[Task, int, tuple[int, ...]], tuple[object, str]]
    end: Callable[[object, int | None], tuple[str, str]]


class Recorder(Silent):
    """An observer (mini_kernel.observe.Observer) and memory listener that keeps `events`.

    A system call is one event, when it has ended: what its task did meanwhile, such as faults, comes before it.
    """

    def __init__(self, names: Names, chosen: Filter, wording: Wording, regs: Callable[[], memoryview]) -> None:
        self.events: list[Event] = []
        self._names = names
        self._filter = chosen
        self._wording = wording
        self._regs = regs
        self._calls: dict[int, tuple[int, object, str]] = {}  # number, what `begin` gave, text; by tid
        self._task: Task | None = None  # who entered the kernel last
        self._begun: list[Event] = []  # instructions of the block that runs

    # -- instructions -------------------------------------------------------------------------------

    def block(self, task: Task | None, address: int, size: int) -> None:
        """A block begins (Machine.on_block): its instructions, if they are those of a function that is wanted."""
        self._flush()
        if task is not None and size:
            for at, name, text in self._names.instructions(task, address, size):
                if self._filter.wants("insn", name):
                    self._begun.append(Event("insn", self._names.task(task), name, text, at=at))

    def _flush(self, end: int = 1 << 64) -> None:
        """The block has run, up to the instruction at `end`."""
        self.events += [event for event in self._begun if event.at < end]
        self._begun.clear()

    def close(self) -> None:
        """The run is over."""
        self._flush()

    def _add(self, kind: str, task: Task, name: str, text: str = "", result: str = "", back: int = 0) -> None:
        if self._filter.wants(kind, name):
            regs = self._regs()
            at, place = self._names.origin(task, regs[RIP] - back, regs[RSP])
            self.events.append(Event(kind, self._names.task(task), name, text, result, place, at))

    # -- observer -----------------------------------------------------------------------------------

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """Keep what is known before the call."""
        self._flush()
        self._task = task
        if self._filter.wants("syscall", call_name(number)):
            begun, text = self._wording.begin(task, number, arguments)
            named = text if number == SYS_brk else self._names.in_text(task)(text)
            self._calls[task.tid] = number, begun, named  # what brk is told lies in nothing before

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """The call has ended."""
        self._end_call(task, result)

    def _end_call(self, task: Task, result: int | None) -> None:
        number, begun, early = self._calls.pop(task.tid, (0, None, ""))
        if begun is None:
            return
        self._names.changed(task)
        late, outcome = self._wording.end(begun, result)
        named = self._names.in_text(task)
        early = named(early) if number == SYS_brk else early
        text = ", ".join(part for part in (early, named(late)) if part)
        self._add("syscall", task, call_name(number), _TIMES.sub(r"\1*", text), named(outcome), back=2)

    def signal(self, task: Task, info: SigInfo) -> None:
        """A signal is delivered."""
        self._flush(self._regs()[RIP] if self._begun else 0)
        name = signal_names.get(info.signo, str(info.signo))
        self._add("signal", task, name, f"code {info.code}")

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """A page fault; the place is the instruction that accesses."""
        self._flush(self._regs()[RIP])
        self._task = task
        if self._filter.wants("fault", fault_class):
            self._add("fault", task, fault_class, f"{access_name(error)} of {self._names.address(task, address)}")

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """A new task exists."""
        self._names.task(task)
        self._names.forked(task, child)
        self._add("fork", task, kind, self._names.task(child), back=2)

    def exited(self, task: Task, status: int) -> None:
        """A task is gone."""
        self._end_call(task, None)
        signo = status & 0x7F
        text = f"killed by {signal_names.get(signo, signo)}" if signo else f"status {status >> 8 & 0xFF}"
        if self._filter.wants("exit", "exit"):
            self.events.append(Event("exit", self._names.task(task), "exit", text))

    # -- memory listener ----------------------------------------------------------------------------

    def _memory(self, kind: str, name: str, text: str) -> None:
        """It belongs to the call or fault whose event follows, which has the place."""
        if self._task is not None and self._filter.wants(kind, name):
            self.events.append(Event(kind, self._names.task(self._task), name, text))

    def table_broken(self, pgd: int, slot: int, old: int, new: int) -> None:
        """mini_kernel.mm.events.MemoryListener."""
        self._memory("table", "break", f"{self._names.table(old)} -> {self._names.table(new)}")

    def table_reused(self, pgd: int, slot: int, table: int) -> None:
        """The same."""
        self._memory("table", "reuse", self._names.table(table))

    def tables_shared(self, pgd: int, child: int, tables: int) -> None:
        """The same."""
        self._memory("table", "share", f"{tables} with a child")

    def frame_copied(self, pgd: int, address: int, source: int, new: int) -> None:
        """The same."""
        task = self._task
        where = self._names.address(task, address) if task is not None else ""
        self._memory("frame", "copy", f"{self._names.frame(source)} -> {self._names.frame(new)} for {where}")

    def user_access(self, pgd: int, address: int, physical: int, n: int, write: bool) -> None:
        """The same; a trace does not ask."""
