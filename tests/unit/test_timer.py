"""Timers on the virtual clock: order, periods, setting the clock, stale entries."""

from fakes import FakeCpu

from mini_kernel import snapshot
from mini_kernel.clock import Clock
from mini_kernel.timer import Timer, TimerQueue


class Note:
    """A target that writes down when it fired."""

    def __init__(self, queue: TimerQueue, log: list[tuple[str, int]], name: str) -> None:
        self.queue, self.log, self.name = queue, log, name
        self.timer = Timer(self)

    def timer_fired(self, timer: Timer) -> None:
        assert timer is self.timer
        assert not timer.armed
        self.log.append((self.name, self.queue.clock.now_ns()))


def make(*names: str) -> tuple[TimerQueue, list[tuple[str, int]], list[Note]]:
    queue, log = TimerQueue(Clock(FakeCpu())), list[tuple[str, int]]()
    return queue, log, [Note(queue, log, name) for name in names]


def advance(queue: TimerQueue, when_ns: int) -> None:
    queue.clock.advance_to(when_ns)
    queue.fire()


def test_timers_fire_in_order_of_deadline_then_of_arming() -> None:
    """Nothing fires early, twice, or after it was disarmed or armed for later."""
    queue, log, (a, b, c, d) = make("a", "b", "c", "d")
    queue.arm(a.timer, 50)
    queue.arm(b.timer, 20)
    queue.arm(c.timer, 20)
    queue.arm(d.timer, 10)
    d.timer.disarm()
    queue.arm(a.timer, 30)
    assert queue.next_deadline() == 20
    advance(queue, 19)
    assert log == []
    advance(queue, 40)
    assert log == [("b", 40), ("c", 40), ("a", 40)]
    advance(queue, 60)
    assert len(log) == 3
    assert queue.next_deadline() is None


def test_periodic_timer_fires_once_until_it_is_forwarded() -> None:
    """`forward` counts what passed and keeps the phase."""
    queue, log, (a,) = make("a")
    queue.arm(a.timer, 100, 10)
    assert (a.timer.left(40), a.timer.left(100)) == (60, 1)
    advance(queue, 135)
    assert len(log) == 1
    assert queue.next_deadline() is None
    assert a.timer.left(135) == 5
    assert queue.forward(a.timer) == 4
    assert queue.next_deadline() == 140
    advance(queue, 140)
    assert log[1:] == [("a", 140)]


def test_setting_the_real_time_clock_moves_deadlines_on_it() -> None:
    """Only those; order is kept up."""
    queue, log, (a, b) = make("a", "b")
    queue.arm(a.timer, 100)
    queue.arm(b.timer, 500, realtime=True)
    queue.real_time_set(450)
    assert (queue.next_deadline(), b.timer.deadline_ns) == (50, 50)
    advance(queue, 60)
    assert log == [("b", 60)]
    queue.real_time_set(-450)
    assert queue.next_deadline() == 100


def test_arming_over_and_over_takes_no_memory() -> None:
    """Stale entries are swept up."""
    queue, _log, (a, b) = make("a", "b")
    queue.arm(b.timer, 1 << 40)
    for i in range(10_000):
        queue.arm(a.timer, 1000 + i)
    assert len(snapshot.dump(queue, {"cpu": queue.clock.cpu})) < 10_000
    assert queue.next_deadline() == 10_999


def test_a_queue_can_be_pickled() -> None:
    """Timers and targets are plain data."""
    queue, _log, (a,) = make("a")
    queue.arm(a.timer, 70, 5)
    handles = {"cpu": queue.clock.cpu}
    copy, note = snapshot.load(snapshot.dump((queue, a), handles), handles)
    advance(copy, 70)
    assert note.log == [("a", 70)]
