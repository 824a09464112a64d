"""Why the system stands still: one value per stop. Every one says when, which task has the CPU, and where it is."""

from dataclasses import dataclass
from typing import ClassVar, Final

from emu.boot import Ending
from emu.debug.events import Event, Time, Walk
from emu.debug.points import Breakpoint, Catchpoint, EntryWatch, FrameWatch, Watchpoint
from mini_kernel.mm.foresee import Verdict
from mini_kernel.task import SigInfo

#: Above every Stop.order.
ALL: Final = 4
_new: Final = object.__new__


@dataclass(frozen=True)
class Stop:
    """`tid` 0: no task is left that could run.

    `order` is the place of its kind among those of one moment: behind what has just happened, before a signal, before
    an instruction or the kernel.
    """

    order: ClassVar[int] = 0
    time: Time
    tid: int
    tgid: int
    rip: int


@dataclass(frozen=True)
class Stepped(Stop):
    """What was asked for is done."""

    order = 2


def stepped(time: Time, tid: int, tgid: int, rip: int) -> Stepped:
    """A Stepped, in a third of the time of its constructor, which goes through `object.__setattr__` for each field."""
    stop = _new(Stepped)
    stop.__dict__.update(time=time, tid=tid, tgid=tgid, rip=rip)
    return stop


@dataclass(frozen=True)
class AtBreakpoint(Stop):
    """Before the instruction."""

    order = 2
    point: Breakpoint


@dataclass(frozen=True)
class Watched(Stop):
    """Behind the instruction, or the kernel entry, that touched watched memory.

    by        tid of the writer or reader
    kernel    the kernel did it, not user code
    access    "read" or "write"
    where     the instruction (for the kernel: the one that entered it)
    """

    point: Watchpoint
    by: int
    kernel: bool
    access: str
    where: int
    old: bytes
    new: bytes


@dataclass(frozen=True)
class EntryChanged(Stop):
    """A paging-structure entry on the way to a watched address changed: by the kernel, or the CPU set A or D bits."""

    point: EntryWatch
    kernel: bool
    old: Walk
    new: Walk


@dataclass(frozen=True)
class FrameChanged(Stop):
    """Behind a kernel entry in which a watched frame got another number of references."""

    point: FrameWatch
    old: int
    new: int


@dataclass(frozen=True)
class Caught(Stop):
    """Behind a kernel entry in which something happened that a catchpoint waits for, or a step (`point` None)."""

    point: Catchpoint | None
    event: Event


@dataclass(frozen=True)
class BeforeCall(Stop):
    """Before a `syscall` instruction that a catchpoint waits for, or a step (`point` None)."""

    order = 2
    point: Catchpoint | None
    number: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class BeforeFault(Stop):
    """At an instruction that faults, before the kernel does anything about it.

    point      the catchpoint; None: stopped because the fault will kill the process, or because faults were stepped to
    verdict    for page faults, what the kernel is going to do
    """

    order = 2
    point: Catchpoint | None
    vector: int
    error: int
    address: int  # CR2
    verdict: Verdict | None


@dataclass(frozen=True)
class BeforeSignal(Stop):
    """Before a signal is delivered: the registers are those of the code that it interrupts.

    It is delivered when the system goes on, unless Debugger.send says otherwise.

    point    the catchpoint; None: stopped because of Runner.handling
    """

    order = 1
    point: Catchpoint | None
    info: SigInfo


@dataclass(frozen=True)
class TaskGone(Stop):
    """The task that was being stepped has exited; `status` is its process's wait status."""

    gone: int
    status: int


@dataclass(frozen=True)
class Ended(Stop):
    """Nothing runs any more. `status` is the main process's wait status, None if it never ended."""

    order = 3
    ending: Ending
    status: int | None


@dataclass(frozen=True)
class LimitReached(Stop):
    """The moment that was set as the limit has come."""

    order = 2


@dataclass(frozen=True)
class AtBeginning(Stop):
    """Going back has come to the earliest moment that is known."""


@dataclass(frozen=True)
class RecordingOver(Stop):
    """The run was recorded up to here: it was interrupted, or its time was up."""

    order = 2


@dataclass(frozen=True)
class Interrupted(Stop):
    """Debugger.interrupt was called."""

    order = 2
