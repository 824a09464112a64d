"""Processor time: its clocks, timers on them, and RLIMIT_CPU (Linux kernel/time/posix-cpu-timers.c).

It is counted in blocks, like all time here, and all of it is user time. Timers are looked at when a time slice ends, if
the process that they watch is the one that ran: their precision is the length of a slice.
"""

from typing import Final

from mini_kernel.clock import NS_PER_BLOCK
from mini_kernel.task import Process, SigInfo, Task, send_to_process
from mini_kernel.timer import Target, Timer
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_CPU
from mini_kernel.uapi.signal import SI_KERNEL, SIGKILL, SIGXCPU

_SECOND: Final = 1_000_000_000


class CpuClock:
    """The time that a process, or one thread of it, has had the processor.

    Precondition: `Scheduler.credit` was called.
    """

    __slots__ = ("process", "task")

    def __init__(self, process: Process, task: Task | None = None) -> None:
        self.process = process
        self.task = task

    def now_ns(self) -> int:
        """Nanoseconds so far."""
        return (self.process.ledger.blocks if self.task is None else self.task.blocks) * NS_PER_BLOCK


class CpuTimer(Timer):
    """A timer on a `CpuClock`, used like one of a `TimerQueue`: `deadline_ns` is a point on that clock."""

    __slots__ = ("clock",)

    def __init__(self, target: Target, clock: CpuClock) -> None:
        super().__init__(target)
        self.clock = clock

    def arm(self, deadline_ns: int, interval_ns: int = 0) -> None:
        """Fire at that time of the clock."""
        self.deadline_ns, self.interval_ns, self.serial = deadline_ns, interval_ns, 1
        watched = self.clock.process.cpu_timers
        if self not in watched:
            watched.append(self)

    def go_on(self) -> int:
        if self.serial or not self.interval_ns:
            return 0
        count = self.passed(self.clock.now_ns())
        self.arm(self.deadline_ns + count * self.interval_ns, self.interval_ns)
        return count


class CpuItimer:
    """ITIMER_VIRTUAL or ITIMER_PROF: sends its signal again and again, taken or not."""

    __slots__ = ("process", "signo", "timer")

    def __init__(self, process: Process, signo: int) -> None:
        self.process = process
        self.signo = signo
        self.timer = CpuTimer(self, CpuClock(process))

    def timer_fired(self, timer: Timer) -> None:
        """Its time has been used up."""
        self.timer.go_on()
        send_to_process(self.process, SigInfo(self.signo, SI_KERNEL))


def check(process: Process) -> None:
    """Fire the timers of a process that are due, and hold it to RLIMIT_CPU."""
    for timer in [t for t in process.cpu_timers if isinstance(t, CpuTimer)]:
        if timer.armed and timer.clock.now_ns() < timer.deadline_ns:
            continue
        process.cpu_timers.remove(timer)
        if timer.armed:
            timer.disarm()
            timer.target.timer_fired(timer)
    if RLIMIT_CPU in process.rlimits:
        _check_limit(process)


def _check_limit(process: Process) -> None:
    """SIGXCPU once a second from the soft limit on, SIGKILL at the hard one. 0 seconds count as 1."""
    soft, hard = process.rlimits[RLIMIT_CPU]
    used = CpuClock(process).now_ns()
    if hard != RLIM_INFINITY and used >= max(hard, 1) * _SECOND:
        send_to_process(process, SigInfo(SIGKILL, SI_KERNEL))
    elif soft != RLIM_INFINITY and used >= max(soft, 1) * _SECOND:
        process.rlimits[RLIMIT_CPU] = (max(soft, 1) + 1, hard)
        send_to_process(process, SigInfo(SIGXCPU, SI_KERNEL))
