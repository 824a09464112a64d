"""Waiting: a queue of tasks, and the exception by which a system call says that it must wait.

There are no kernel stacks. A call that cannot finish raises `Block`; the scheduler parks the task and, once
woken, issues the same call again from the start. So a handler changes nothing before it raises, or keeps what
it has done so far in `task.restart` (as Linux does with restart_block).
"""

from typing import Protocol


class Waiter(Protocol):
    """A task, as a wait queue sees it."""

    def wake(self) -> None:
        """Become runnable (no effect if already so)."""
        ...


class WaitQueue:
    """Tasks that wait for one thing. A task may sit on several queues; waking takes it off all of them."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []

    def add(self, waiter: Waiter) -> None:
        """Put a waiter at the end."""
        self.waiters.append(waiter)

    def discard(self, waiter: Waiter) -> None:
        """Take a waiter off, if it is here."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def wake(self) -> None:
        """Make every waiter runnable, in the order they came."""
        for waiter in list(self.waiters):
            waiter.wake()


class Block(Exception):
    """The call waits until one of `queues` wakes it or the virtual clock reaches `deadline_ns`."""

    def __init__(self, *queues: WaitQueue, deadline_ns: int | None = None) -> None:
        super().__init__()
        self.queues = queues
        self.deadline_ns = deadline_ns
