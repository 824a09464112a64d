"""What a measurement reads from the kernel while a guest runs, besides time: observers.

They slow the guest down a little, so what they watch is not timed.
"""

from emu.listeners import Silent
from mini_kernel.mm.vma import VM_SHARED
from mini_kernel.task import Task
from mini_kernel.x86 import PAGE_SIZE

_KIB = 1024


class Births(Silent):
    """What parent and child of the latest fork account for: page-table bytes and resident set, in kB.

    As Linux reports them in /proc/PID/status: VmPTE without the top-level table (proc(5), mm_pgtables_bytes).
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """Read both."""
        for prefix, mm in (("", child.mm), ("parent ", task.mm)):
            self.figures[prefix + "VmPTE"] = (mm.pt.tables - 1) * PAGE_SIZE / _KIB
            self.figures[prefix + "VmRSS"] = mm.rss * PAGE_SIZE / _KIB


class SharedFaults(Silent):
    """The number of page faults on memory that processes share."""

    def __init__(self) -> None:
        self.count = 0

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """One more, if it was."""
        vma = task.mm.find(address)
        self.count += vma is not None and bool(vma.flags & VM_SHARED)
