"""The calls that led a task where it is."""

from emu.debug.runner import Runner
from emu.debug.state import read, registers, task_of
from emu.unwind import Backtrace, unwind
from mini_kernel.mm.vma import VM_EXEC
from mini_kernel.task import Task


class _TaskSpace:
    """The memory of a task, as the program would find it."""

    def __init__(self, d: Runner, task: Task) -> None:
        self._d = d
        self._task = task

    def read(self, address: int, n: int) -> bytes:
        return read(self._d, address, n, self._task.tid)

    def executable(self, address: int) -> bool:
        vma = self._task.mm.find(address)
        return vma is not None and bool(vma.flags & VM_EXEC)


def backtrace(d: Runner, tid: int | None = None, limit: int = 32) -> Backtrace:
    """The frames of a task, the innermost first. Raises DebugError for a task that is gone."""
    task = task_of(d, tid)
    values = dict(enumerate(registers(d, task.tid).general))
    return unwind(values, _TaskSpace(d, task), d.symbols(task), limit)
