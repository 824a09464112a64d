"""What /proc asks of the kernel, its processes and its tasks: all three are above this package."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mini_kernel.clock import Clock
from mini_kernel.cred import Credentials
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.path import FsContext
from mini_kernel.ledger import Ledger
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm


class Signal(Protocol):
    """A pending signal (task.SigInfo)."""

    @property
    def signo(self) -> int:
        """Its number."""
        ...


class Action(Protocol):
    """What a process does on a signal (task.SigAction)."""

    @property
    def handler(self) -> int:
        """SIG_DFL, SIG_IGN or an address."""
        ...


class TaskView(Protocol):
    """A thread (task.Task)."""

    tid: int
    name: str
    exe_path: bytes
    blocked: int  # signal mask
    cred: Credentials
    no_new_privileges: bool
    files: FdTable
    fs: FsContext
    user_mm: Mm | None

    @property
    def state(self) -> int:
        """0 runnable, 1 waiting, 2 stopped, 3 dead (task.State)."""
        ...

    @property
    def process(self) -> "ProcessView":
        """The process it belongs to."""
        ...

    @property
    def pending(self) -> Sequence[Signal]:
        """Signals for this very thread."""
        ...


class ProcessView(Protocol):
    """A process (task.Process). One without tasks is dead: a zombie, or waited for already."""

    tgid: int
    pgid: int
    sid: int
    name: str
    odf: int  # task.ODF_*: 0 off, 1 armed, 2 active
    oom_score_adj: int
    stopped: bool
    exit_status: int | None
    exit_signal: int
    rlimits: dict[int, tuple[int, int]]
    ledger: Ledger
    children_ledger: Ledger

    @property
    def parent(self) -> "ProcessView | None":
        """None for the first process and for orphans."""
        ...

    @property
    def tasks(self) -> Sequence[TaskView]:
        """Threads that have not ended, the oldest first."""
        ...

    @property
    def pending(self) -> Sequence[Signal]:
        """Signals for any of its threads."""
        ...

    @property
    def actions(self) -> Mapping[int, Action]:
        """By signal number; missing ones are the default."""
        ...


class Scheduler(Protocol):
    """Who runs (sched.Scheduler)."""

    switches: int

    @property
    def current(self) -> TaskView | None:
        """The task in whose system call the kernel is."""
        ...

    def credit(self) -> None:
        """Bring the ledgers' block counts up to date."""
        ...


class OomView(Protocol):
    """The OOM killer (oom.OomKiller)."""

    def badness(self, process: Any) -> int | None:
        """What killing a process would bring, in pages; None if it must not be killed."""
        ...


class System(Protocol):
    """The kernel object."""

    frames: FrameAllocator
    clock: Clock
    last_tid: int
    nodename: str
    domainname: str

    @property
    def oom(self) -> OomView:
        """The OOM killer."""
        ...

    @property
    def sched(self) -> Scheduler:
        """The scheduler."""
        ...

    @property
    def main(self) -> ProcessView | None:
        """The first process."""
        ...

    @property
    def tasks(self) -> Mapping[int, TaskView]:
        """Live threads by id."""
        ...

    @property
    def processes(self) -> Mapping[int, ProcessView]:
        """Processes by id, zombies too."""
        ...

    def report(self, group: bytes, name: bytes) -> bytes:
        """The content of /proc/`group`/`name`, one of facts.REPORTS: about what is above this package."""
        ...


class Subject:
    """Whom a node of /proc is about: a process, or one thread of it. It may be gone by the time somebody looks."""

    __slots__ = ("process", "system", "thread")

    def __init__(self, system: System, process: ProcessView, thread: TaskView | None = None) -> None:
        self.system = system
        self.process = process
        self.thread = thread

    @property
    def exists(self) -> bool:
        """False once nobody can find it under its number any more: a thread that ended, a process waited for."""
        process = self.process
        if self.thread is not None:
            return self.thread in process.tasks
        return bool(process.tasks) or self.system.processes.get(process.tgid) is process

    @property
    def task(self) -> TaskView | None:
        """The thread, or the process's oldest; None for a zombie."""
        if self.thread is not None:
            return self.thread if self.exists else None
        tasks = self.process.tasks
        return tasks[0] if tasks else None

    @property
    def mm(self) -> Mm | None:
        """The address space; None for a zombie."""
        task = self.task
        return task.user_mm if task else None

    @property
    def number(self) -> int:
        """Its id: the name of its directory."""
        return self.thread.tid if self.thread is not None else self.process.tgid

    @property
    def parent_id(self) -> int:
        """getppid(2): 1, as if init, for orphans; 0 for the first process."""
        parent = self.process.parent
        if parent is not None:
            return parent.tgid
        return 0 if self.process is self.system.main else 1
