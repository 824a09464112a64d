"""What the terminal asks of the kernel: who calls, which groups there are, signals for them, and the time."""

from typing import TYPE_CHECKING

from mini_kernel import jobs
from mini_kernel.task import SigInfo, Task, bit, send_to_process
from mini_kernel.uapi.signal import SI_KERNEL

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


class Console:
    """fs.tty.JobControl of a kernel."""

    def __init__(self, k: "Kernel") -> None:
        self.k = k

    def caller(self) -> Task | None:
        """The task whose system call this is."""
        return self.k.sched.current

    def shrugs_off(self, signo: int) -> bool:
        """True if the caller blocks or ignores a signal."""
        task = self.k.sched.current
        return task is not None and (bool(task.blocked & bit(signo)) or task.process.ignores(signo))

    def session_of(self, pgid: int) -> int | None:
        """The session of a process group, None if there is no such group."""
        return next((p.sid for p in self.k.processes.values() if p.pgid == pgid), None)

    def is_orphaned(self, pgid: int) -> bool:
        """True if nobody would continue the group once it is stopped."""
        return jobs.is_orphaned(self.k, pgid)

    def signal_group(self, pgid: int, signo: int) -> None:
        """Send a signal to every process of a group, as the kernel."""
        for process in list(self.k.processes.values()):
            if process.pgid == pgid:
                send_to_process(process, SigInfo(signo, SI_KERNEL))

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return self.k.clock.now_ns()

    def pass_time(self, ns: int) -> None:
        """So much time went by while nobody could run."""
        self.k.clock.advance_to(self.k.clock.now_ns() + ns)
