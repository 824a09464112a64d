"""What happened, told to whoever listens: strace, traces, the debugger. The kernel runs the same without a listener."""

from typing import Final, NamedTuple, Protocol

from mini_kernel.mm.walk import Step
from mini_kernel.task import SigInfo, Task


class Observer(Protocol):
    """A listener. Called inside kernel entries; must not change anything. Left out of snapshots."""

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """A system call begins (not told again when it is issued again after a wait)."""
        ...

    def syscall_wait(self, task: Task, number: int) -> None:
        """It has to wait."""
        ...

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """It returned `result` (negative: -errno), or does not return (None)."""
        ...

    def signal(self, task: Task, info: SigInfo) -> None:
        """A signal is delivered: to a handler or to its default action."""
        ...

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """A page fault was repaired, or will become a signal."""
        ...

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """A new task exists."""
        ...

    def exited(self, task: Task, status: int) -> None:
        """A thread is gone; `status` is its process's wait status."""
        ...


class SignalGate(Protocol):
    """A debugger that stands before signals. Left out of snapshots."""

    def holds(self, task: Task, info: SigInfo) -> bool:
        """Asked inside a kernel entry when a signal is about to be taken and delivered to the task that has the CPU.

        True: not now. The signal stays pending, the machine is stopped, and `Traps.dispatch` goes on with it.
        """
        ...


class Sharer(NamedTuple):
    """Another process whose tables lead to the same frame or PTE table."""

    tgid: int
    table: bool  # the PTE table itself is shared
    frame: bool


class AreaInfo(NamedTuple):
    """A VMA, copied for a report."""

    start: int
    end: int
    flags: int
    name: str
    offset: int


STACK_RECORDED: Final = 1 << 16  # bytes: what the calls that led to a fault are found in


class FaultRecord(NamedTuple):
    """Everything known about an exception that killed a process, taken before anything was torn down."""

    tgid: int
    tid: int
    program: str
    exe_path: bytes
    signo: int
    code: int
    address: int  # si_addr
    vector: int
    error: int
    regs: tuple[int, ...]  # 17, x86.RAX .. x86.RIP
    rflags: int
    instruction: bytes  # up to 16 bytes at RIP
    walk: tuple[Step, ...]
    area: AreaInfo | None
    neighbours: tuple[AreaInfo | None, AreaInfo | None]  # below and above, when no area holds the address
    frame_count: int  # references of the frame the walk ends in (of a huge page, the first), 0 if none
    table_count: int
    sharers: tuple[Sharer, ...]
    decision: str
    stack: int
    fs_base: int
    gs_base: int
    stack_at: int = 0  # RSP, or the end of the stack where RSP is below it
    stack_bytes: bytes = b""  # from there on, as far as it can be read, up to STACK_RECORDED
