"""The thread that ends what takes too long."""

import threading
from contextlib import ExitStack

from emu.watchdog import Watchdog


def test_each_limit_is_kept_and_one_thread_does_it() -> None:
    """Later ones, earlier ones, and one inside another."""
    dog, rang = Watchdog(), [threading.Event() for _ in range(3)]
    before = threading.active_count()
    with ExitStack() as stack:
        for seconds, event in zip((0.03, 0.01, 0.02), rang, strict=True):
            stack.enter_context(dog.limit(seconds, event.set))
        assert all(event.wait(10) for event in rang)
        assert threading.active_count() == before + 1


def test_what_ended_in_time_is_left_alone() -> None:
    """Behind the limit nothing is called, though the thread looks at the time at which it would have been."""
    dog, late, looked = Watchdog(), threading.Event(), threading.Event()
    with dog.limit(0.01, late.set):
        pass
    with dog.limit(0.02, looked.set):
        assert looked.wait(10)
    assert not late.is_set()


def test_a_limit_without_end_is_possible() -> None:
    with Watchdog().limit(float("inf"), lambda: None):
        pass
