"""Several observers of one kernel: strace, a trace and the debugger may all listen at once."""

from mini_kernel.observe import Observer
from mini_kernel.task import SigInfo, Task


class Silent:
    """An observer that does nothing: the base of those for whom few events matter."""

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """mini_kernel.observe.Observer, as all of these."""

    def syscall_wait(self, task: Task, number: int) -> None:
        """The same."""

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """The same."""

    def signal(self, task: Task, info: SigInfo) -> None:
        """The same."""

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """The same."""

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """The same."""

    def exited(self, task: Task, status: int) -> None:
        """The same."""


class Listeners:
    """An observer (mini_kernel.observe) that tells others, in the order they came."""

    def __init__(self) -> None:
        self._all: tuple[Observer, ...] = ()

    def add(self, observer: Observer) -> None:
        """One more, from the next event on."""
        self._all = (*self._all, observer)

    def remove(self, observer: Observer) -> None:
        """One less; nothing happens if it was none of them."""
        self._all = tuple(o for o in self._all if o is not observer)

    def only(self) -> Observer | None:
        """What to hand to a kernel: nothing, the one there is, or all of them."""
        if len(self._all) > 1:
            return self
        return self._all[0] if self._all else None

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        for observer in self._all:
            observer.syscall_enter(task, number, arguments)

    def syscall_wait(self, task: Task, number: int) -> None:
        for observer in self._all:
            observer.syscall_wait(task, number)

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        for observer in self._all:
            observer.syscall_exit(task, number, arguments, result)

    def signal(self, task: Task, info: SigInfo) -> None:
        for observer in self._all:
            observer.signal(task, info)

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        for observer in self._all:
            observer.fault(task, address, error, fault_class)

    def forked(self, task: Task, child: Task, kind: str) -> None:
        for observer in self._all:
            observer.forked(task, child, kind)

    def exited(self, task: Task, status: int) -> None:
        for observer in self._all:
            observer.exited(task, status)
