"""Timers on the virtual clock: sleeping tasks, itimers, POSIX timers and timerfd all hang off one `TimerQueue`.

A timer fires once and is then disarmed, periodic or not (as Linux's hrtimers are for those users). Whoever consumes
the expiry, by reading it or by taking its signal, calls `forward`, which counts what passed meanwhile and arms the
next one. So a periodic timer that nobody listens to costs nothing, and cannot keep a machine busy in which everybody
sleeps.

A timer's target is a kernel object with a method, never a function, so that all of it can be pickled.
"""

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from mini_kernel.clock import Clock

FOREVER_NS: Final = (1 << 63) - 1  # a deadline that never comes (Linux KTIME_MAX, 292 years)
_SLACK: Final = 64  # stale entries that are not worth sweeping up


class Target(Protocol):
    """What a timer is for: a task, a file, a process's timer."""

    def timer_fired(self, timer: "Timer") -> None:
        """The deadline has come; the timer is disarmed, `timer.deadline_ns` still says when that was."""
        ...


class Timer:
    """One timer. Change it through the queue only.

    Invariant: armed if and only if `serial` is that of an entry in the queue; other entries with this timer are stale.
    """

    __slots__ = ("deadline_ns", "interval_ns", "queue", "realtime", "serial", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.queue: TimerQueue | None = None  # the one it was last armed in
        self.deadline_ns = 0  # CLOCK_MONOTONIC of the next expiry, or of the last one if not armed
        self.interval_ns = 0  # period, 0 for one-shot
        self.realtime = False  # the deadline is a point on CLOCK_REALTIME: setting that clock moves it
        self.serial = 0  # 0: not armed

    @property
    def armed(self) -> bool:
        """True while it is going to fire."""
        return self.serial != 0

    def disarm(self) -> None:
        """It does not fire (no effect if it was not going to). Its entry in the queue goes stale."""
        self.serial = 0

    def go_on(self) -> int:
        """`TimerQueue.forward` if it is periodic and has fired, 0 if not."""
        if self.serial or not self.interval_ns or self.queue is None:
            return 0
        return self.queue.forward(self)

    def passed(self, now_ns: int) -> int:
        """How many expiries there were from `deadline_ns` up to now, that one included. Precondition: periodic."""
        return max(0, (now_ns - self.deadline_ns) // self.interval_ns + 1)

    def left(self, now_ns: int) -> int:
        """Nanoseconds to the next expiry, at least 1; 0 if there is none (timer_gettime(2))."""
        if self.serial:
            return max(1, self.deadline_ns - now_ns)
        if not self.interval_ns:
            return 0
        return self.deadline_ns + self.passed(now_ns) * self.interval_ns - now_ns


class TimerQueue:
    """All armed timers, the earliest first; those with equal deadlines in the order they were armed."""

    def __init__(self, clock: "Clock") -> None:
        self.clock = clock
        self._heap: list[tuple[int, int, Timer]] = []
        self._serial = 0
        self._sweep_at = _SLACK

    def arm(self, timer: Timer, deadline_ns: int, interval_ns: int = 0, realtime: bool = False) -> None:
        """Fire at CLOCK_MONOTONIC `deadline_ns` (soon, if that is past). Replaces what the timer was set to."""
        self._serial += 1
        deadline_ns, interval_ns = min(deadline_ns, FOREVER_NS), min(interval_ns, FOREVER_NS)
        timer.deadline_ns, timer.interval_ns = deadline_ns, interval_ns
        timer.realtime, timer.serial, timer.queue = realtime, self._serial, self
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        if deadline_ns < FOREVER_NS:
            heappush(self._heap, (deadline_ns, self._serial, timer))

    def forward(self, timer: Timer) -> int:
        """Arm a periodic timer that fired for its next expiry after now; the expiries since `deadline_ns`, >= 1."""
        count = timer.passed(self.clock.now_ns())
        self.arm(timer, timer.deadline_ns + count * timer.interval_ns, timer.interval_ns, timer.realtime)
        return count

    def next_deadline(self) -> int | None:
        """When the next timer fires, None if none is armed."""
        heap = self._heap
        while heap and heap[0][2].serial != heap[0][1]:
            heappop(heap)
        return heap[0][0] if heap else None

    def fire(self) -> None:
        """Fire every timer whose deadline has come. One that a target arms in the past fires as well."""
        heap, now = self._heap, self.clock.now_ns()
        while heap and heap[0][0] <= now:
            _deadline, serial, timer = heappop(heap)
            if timer.serial == serial:
                timer.serial = 0
                timer.target.timer_fired(timer)

    def real_time_set(self, jump_ns: int) -> None:
        """CLOCK_REALTIME was set forward by `jump_ns` (back if negative): deadlines on it come as much sooner."""
        self._heap[:] = [
            (deadline - jump_ns if timer.realtime else deadline, serial, timer)
            for deadline, serial, timer in self._heap
            if timer.serial == serial
        ]
        heapify(self._heap)
        for deadline, _serial, timer in self._heap:
            timer.deadline_ns = deadline

    def _sweep(self) -> None:
        """Drop stale entries, so that arming over and over takes no memory."""
        self._heap[:] = [entry for entry in self._heap if entry[2].serial == entry[1]]
        heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + _SLACK
