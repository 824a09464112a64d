"""Runs that go otherwise than they would, by plan: system calls that fail, and tasks that lose the CPU early.

The plan is plain data at `Kernel.plan`, so it is part of snapshots and every run of it is the same. `Steered` carries
it out; it is the kernel's observer then, the one who listens behind it, so that a run without a plan pays nothing.
"""

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.observe import Observer
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi.numbers import SYS_clone, SYS_clone3, SYS_fork, SYS_odfork, SYS_sfork, SYS_vfork
from mini_kernel.x86 import RIP

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_FORKS: Final = frozenset((SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_odfork, SYS_sfork))
_SHORTEST: Final = 2  # bits: slices begin at 4 instructions or blocks
_LONGEST: Final = (4, 6, 8, 10, 12)  # bits, of which a schedule has one: some find what takes many switches, some few
#: How likely the CPU goes to another task, by event: right after a fork it matters most who runs first.
_CHANCES: Final = {"fork": 0.5, "syscall": 0.25, "fault": 0.25}


@dataclass
class CallFailure:
    """The `nth` system call from now on fails with `errno` and does nothing. `number`: of that call only, None: of any.

    It fails once; `every` makes all later ones fail too.
    """

    errno: int
    nth: int = 1
    number: int | None = None
    every: bool = False
    seen: int = 0

    def hits(self, number: int) -> bool:
        """True if this call fails. Counts it."""
        if self.number is not None and number != self.number:
            return False
        self.seen += 1
        return self.seen == self.nth or (self.every and self.seen > self.nth)


class Schedule:
    """One interleaving of tasks, chosen by a seed: slices of uneven length, preemption after calls, faults and forks.

    Who runs next is drawn as well. The same seed gives the same interleaving.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.longest = self.random.choice(_LONGEST)
        self.log: list[tuple[int, int]] | None = None  # who lost the CPU and where (tid, RIP), if that is wanted

    def slice(self) -> int:
        """The length of the next slice."""
        return int(2 ** self.random.uniform(_SHORTEST, self.longest))

    def preempts(self, event: str) -> bool:
        """True if the running task loses the CPU after this event."""
        return self.random.random() < _CHANCES[event]


@dataclass
class Plan:
    """What is to go otherwise."""

    failures: list[CallFailure] = field(default_factory=list[CallFailure])
    schedule: Schedule | None = None

    def __bool__(self) -> bool:
        return bool(self.failures) or self.schedule is not None


def give_up_cpu(k: "Kernel") -> None:
    """The running task goes to the end of the queue, and any of the others to its front."""
    schedule, queue = k.plan.schedule, k.sched.run_queue.tasks
    if not queue:
        return
    if schedule is not None:
        queue.rotate(schedule.random.randrange(len(queue)))
        if schedule.log is not None and k.sched.current is not None:
            schedule.log.append((k.sched.current.tid, k.cpu.regs[RIP]))
    k.sched.yield_cpu()


class Steered:
    """The observer that makes a plan come true (mini_kernel.observe.Observer); `inner` is who listens."""

    def __init__(self, k: "Kernel", inner: Observer | None) -> None:
        self._k = k
        self.inner = inner

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """Raises SysError for a call that is to fail."""
        if self.inner:
            self.inner.syscall_enter(task, number, arguments)
        hits = [failure for failure in self._k.plan.failures if failure.hits(number)]
        if hits:
            raise SysError(hits[0].errno)

    def syscall_wait(self, task: Task, number: int) -> None:
        """Waiting is a preemption of its own."""
        if self.inner:
            self.inner.syscall_wait(task, number)

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """Here the caller may lose the CPU."""
        if self.inner:
            self.inner.syscall_exit(task, number, arguments, result)
        self._after("fork" if number in _FORKS else "syscall", task)

    def signal(self, task: Task, info: SigInfo) -> None:
        """Nothing changes."""
        if self.inner:
            self.inner.signal(task, info)

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """Here too the CPU may be lost."""
        if self.inner:
            self.inner.fault(task, address, error, fault_class)
        self._after("fault", task)

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """The call has not returned yet: see syscall_exit."""
        if self.inner:
            self.inner.forked(task, child, kind)

    def exited(self, task: Task, status: int) -> None:
        """Nothing changes."""
        if self.inner:
            self.inner.exited(task, status)

    def _after(self, event: str, task: Task) -> None:
        schedule = self._k.plan.schedule
        if schedule is not None and self._k.sched.current is task and schedule.preempts(event):
            give_up_cpu(self._k)
