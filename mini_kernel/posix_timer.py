"""Timers of timer_create(2) (Linux kernel/time/posix-timers.c).

A timer has one signal. While that is pending, or ignored, no other is sent; what expires meanwhile is counted when the
signal is taken (si_overrun).
"""

from typing import TYPE_CHECKING

from mini_kernel.cputime import CpuClock, CpuTimer
from mini_kernel.task import Process, SigInfo, Task, post, send_to_process
from mini_kernel.timer import Timer, TimerQueue
from mini_kernel.uapi.signal import SI_TIMER

if TYPE_CHECKING:
    from mini_kernel.clock import Clock


class PosixTimer:
    """One timer. `signo` 0: SIGEV_NONE. `thread`: SIGEV_THREAD_ID."""

    def __init__(self, ident: int, process: Process, signo: int, value: int, thread: Task | None) -> None:
        self.ident = ident
        self.process = process
        self.signo = signo
        self.value = value
        self.thread = thread
        self.realtime = False
        self.overrun = 0  # of the signal taken last (timer_getoverrun(2))
        self.ignored = False  # its signal came while nobody wanted it
        self.timer = Timer(self)

    # -- setting ------------------------------------------------------------------------------------

    def use_cpu_clock(self, clock: CpuClock) -> None:
        """Count processor time instead of the machine's."""
        self.timer = CpuTimer(self, clock)

    def now_ns(self, clock: "Clock") -> int:
        """The time on the clock that `timer.deadline_ns` is of."""
        return self.timer.clock.now_ns() if isinstance(self.timer, CpuTimer) else clock.now_ns()

    def set(self, queue: TimerQueue, deadline_ns: int, interval_ns: int, absolute: bool) -> None:
        """Start over with another deadline. The signal of an earlier one is not delivered any more."""
        self.stop()
        timer = self.timer
        if not self.signo:  # nobody is told, so nothing has to happen
            timer.deadline_ns, timer.interval_ns = deadline_ns, interval_ns
        elif isinstance(timer, CpuTimer):
            timer.arm(deadline_ns, interval_ns)
        else:
            queue.arm(timer, deadline_ns, interval_ns, absolute and self.realtime)
            queue.fire()

    def stop(self) -> None:
        """Neither fire nor have a signal pending."""
        self.timer.disarm()
        self.timer.deadline_ns = self.timer.interval_ns = self.overrun = 0
        self.ignored = False
        owners = [self.process.pending, *([self.thread.pending] if self.thread else ())]
        for pending in owners:
            pending[:] = [info for info in pending if info.source is not self]

    def left(self, now_ns: int) -> int:
        """Nanoseconds to the next expiry, 0 if there is none."""
        timer = self.timer
        if not self.signo and now_ns < timer.deadline_ns:
            return timer.deadline_ns - now_ns
        return timer.left(now_ns)

    # -- expiring -----------------------------------------------------------------------------------

    def timer_fired(self, timer: Timer) -> None:
        """Send the signal."""
        info = SigInfo(self.signo, SI_TIMER, pid=self.ident, value=self.value, source=self)
        if self.thread is None:
            send_to_process(self.process, info)
        elif self.thread.alive:
            post(self.thread, info, self.thread.pending)

    def signal_taken(self, info: SigInfo) -> SigInfo:
        """The next period begins; what was missed since the signal was sent is its overrun."""
        self.overrun = max(0, self.timer.go_on() - 1)
        return info._replace(uid=self.overrun)  # si_overrun is where others have si_uid

    def signal_ignored(self) -> None:
        """It comes as soon as somebody wants it."""
        self.ignored = True

    def signal_wanted(self) -> None:
        """The signal is not ignored any more."""
        if self.ignored:
            self.ignored = False
            self.timer_fired(self.timer)
