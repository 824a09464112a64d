"""Waiting: a queue of tasks, and the exception by which a system call says that it must wait.

There are no kernel stacks. A call that cannot finish raises `Block`; the scheduler parks the task and, once
woken, issues the same call again from the start. So a handler changes nothing before it raises, or keeps what
it has done so far in `task.restart` (as Linux does with restart_block).
"""

from typing import Protocol


class Waiter(Protocol):
    """A task or an epoll watch, as a wait queue sees it."""

    exclusive: bool  # of several such, one that takes the wake-up is enough

    def wake(self, key: int = 0) -> bool | None:
        """Become runnable (no effect if already so). `key`: the POLL* bits that may hold now, 0 for any.

        An exclusive waiter returns True if it takes the wake-up.
        """
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

    def wake(self, key: int = 0) -> None:
        """Wake every waiter in the order they came, of the exclusive ones those up to the first that takes it."""
        taken = False
        for waiter in list(self.waiters):
            if not (taken and waiter.exclusive) and waiter.wake(key):
                taken = True


class Block(Exception):
    """The call waits until one of `queues` wakes it or the virtual clock reaches `deadline_ns`.

    A signal that has something to do ends the wait, unless it is not `interruptible`: then only SIGKILL does.
    """

    def __init__(self, *queues: WaitQueue, deadline_ns: int | None = None, interruptible: bool = True) -> None:
        super().__init__()
        self.queues = queues
        self.deadline_ns = deadline_ns
        self.interruptible = interruptible
