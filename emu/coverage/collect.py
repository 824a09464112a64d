"""Counting blocks and edges of one program while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from emu.boot import System
from emu.listeners import Silent
from mini_kernel.task import SigInfo, Task
from mini_kernel.x86 import RIP

Block = tuple[int, int]  # address and size in bytes


@dataclass
class Counts:
    """How often blocks were run, and how often one followed the other. Addresses are those of the program file."""

    blocks: dict[Block, int] = field(default_factory=dict[Block, int])
    edges: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])  # (end of a block, next)

    def add(self, other: "Counts") -> None:
        """Merge another run of the same program."""
        for block, count in other.blocks.items():
            self.blocks[block] = self.blocks.get(block, 0) + count
        for edge, count in other.edges.items():
            self.edges[edge] = self.edges.get(edge, 0) + count


class Collector(Silent):
    """Listens to a traced system: counts what every task that runs its program does, forked ones too.

    With `of`, a task's blocks are counted where that says, whatever program it runs; nowhere if it says None.

    A block that faults in its middle, or whose task loses the CPU there, is counted as far as it came; the rest is a
    block of its own.
    """

    def __init__(self, system: System, of: Callable[[Task], Counts | None] | None = None) -> None:
        self.counts = Counts()
        self._of = of or self._of_first
        self._sched = system.kernel.sched
        self._regs = system.machine.regs
        self._exe_path = system.exe_path
        self._last: dict[int, tuple[Counts, Block]] = {}  # by tid
        system.observe_blocks(self._block)
        system.observe(self)

    def _of_first(self, task: Task) -> Counts | None:
        return self.counts if task.exe_path == self._exe_path else None

    def _block(self, address: int, size: int) -> None:
        task = self._sched.current
        counts = self._of(task) if task is not None else None
        if task is None or counts is None:
            return
        if not size:
            self._cut(task)
            return
        block = address, size
        counts.blocks[block] = counts.blocks.get(block, 0) + 1
        before, last = self._last.get(task.tid, (None, block))
        if before is counts:
            edge = last[0] + last[1], address
            counts.edges[edge] = counts.edges.get(edge, 0) + 1
        self._last[task.tid] = counts, block

    def _cut(self, task: Task) -> None:
        """The block that was begun last ended at the instruction that faults, if that is one of its own."""
        counts, last = self._last.get(task.tid, (None, (0, 0)))
        rip = self._regs[RIP]
        if counts is None or not last[0] <= rip < last[0] + last[1]:
            return  # a fetch: the block has run, and what is fetched comes next
        del self._last[task.tid]
        blocks = counts.blocks
        blocks[last] -= 1
        if not blocks[last]:
            del blocks[last]
        if rip > last[0]:
            done = last[0], rip - last[0]
            blocks[done] = blocks.get(done, 0) + 1

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """A page fault."""
        self._cut(task)

    def signal(self, task: Task, info: SigInfo) -> None:
        """Other exceptions come as signals; a handler is no edge of the program's."""
        self._cut(task)
        self._last.pop(task.tid, None)

    def exited(self, task: Task, status: int) -> None:
        """The number may be used again."""
        self._last.pop(task.tid, None)
