"""What happened, and when: the event log of a debugged system, and what it can be told to stop for.

Time is the number of instructions begun, and within one of them the number of kernel entries: an instruction that
faults is begun again after the entry, at the same count. All of a run's states are in this order.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mini_kernel.mm.walk import Step
from mini_kernel.task import SigInfo

Walk = tuple[Step, ...]


class Time(NamedTuple):
    """A moment: instructions begun by all tasks since boot, and kernel entries since boot."""

    instructions: int
    entries: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened inside kernel entry `time.entries`, to this task."""

    time: Time
    tid: int
    tgid: int


@dataclass(frozen=True, slots=True)
class SyscallEntered(Event):
    """A system call begins."""

    number: int
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SyscallWaits(Event):
    """It has to wait."""

    number: int


@dataclass(frozen=True, slots=True)
class SyscallReturned(Event):
    """It returned `result`, -errno if negative; None: it does not return."""

    number: int
    arguments: tuple[int, ...]
    result: int | None


@dataclass(frozen=True, slots=True)
class SignalDelivered(Event):
    """A signal reaches a handler, or has its default effect."""

    info: SigInfo


@dataclass(frozen=True, slots=True)
class Faulted(Event):
    """A page fault was repaired, or becomes a signal; the walk as the CPU found it, and afterwards."""

    address: int
    error: int
    fault_class: str
    before: Walk
    after: Walk


@dataclass(frozen=True, slots=True)
class Forked(Event):
    """A new task exists."""

    child: int
    child_tgid: int
    kind: str  # as in the ledger


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """execve(2) has replaced the program."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Exited(Event):
    """A thread is gone; `status` is its process's wait status, `last` if no thread of the process is left."""

    status: int
    last: bool


@dataclass(frozen=True, slots=True)
class TableBroken(Event):
    """An address space got its own copy `new` of a shared table `old`; the entry at `slot` points at it now."""

    slot: int
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class TableReused(Event):
    """The last user of a shared table took it back as it is."""

    slot: int
    table: int


@dataclass(frozen=True, slots=True)
class TablesShared(Event):
    """A fork made parent and child share tables."""

    tables: int


@dataclass(frozen=True, slots=True)
class FrameCopied(Event):
    """A page was copied to a frame of its own."""

    address: int
    source: int
    new: int


@dataclass(frozen=True, slots=True)
class Flushed(Event):
    """The TLB, or with `code` all translated code as well, is emptied when the entry is over."""

    code: bool


@dataclass(frozen=True, slots=True)
class Switched(Event):
    """Another task has the CPU when the entry is over: `to`; the event's is the one that had it."""

    to: int


#: Names for catchpoints and logs.
KINDS: dict[str, type[Event]] = {
    "syscall": SyscallEntered,
    "wait": SyscallWaits,
    "return": SyscallReturned,
    "signal": SignalDelivered,
    "fault": Faulted,
    "fork": Forked,
    "exec": Executed,
    "exit": Exited,
    "table-broken": TableBroken,
    "table-reused": TableReused,
    "tables-shared": TablesShared,
    "frame-copied": FrameCopied,
    "flush": Flushed,
    "switch": Switched,
}


def detail(event: Event) -> int | str | None:
    """What a catchpoint can ask for besides the kind: call or signal number, class of the fault, kind of the fork."""
    if isinstance(event, SyscallEntered | SyscallReturned | SyscallWaits):
        return event.number
    if isinstance(event, SignalDelivered):
        return event.info.signo
    if isinstance(event, Faulted):
        return event.fault_class
    return event.kind if isinstance(event, Forked) else None
