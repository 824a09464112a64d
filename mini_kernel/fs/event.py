"""eventfd(2): a counter to wait for. timerfd_create(2): a timer to wait for."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, Views
from mini_kernel.fs.inode import Inode
from mini_kernel.timer import Timer, TimerQueue
from mini_kernel.uapi.errno import EAGAIN, EINVAL
from mini_kernel.uapi.fcntl import O_NONBLOCK, O_RDWR
from mini_kernel.uapi.poll import POLLERR
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

LIMIT: Final = 0xFFFF_FFFF_FFFF_FFFE  # the counter's highest value


class AnonymousInode(Inode):
    """The inode of files that are nothing but a file (Linux anon_inode): mode 0600 without a type."""

    kind = 0

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        raise SysError(EINVAL)


class AnonymousFile(File):
    """A file that is nothing but a file. Seeking is allowed and does nothing (Linux noop_llseek)."""

    __slots__ = ()

    can_poll = True

    def seek(self, offset: int, whence: int) -> int:
        return 0


class EventFile(AnonymousFile):
    """Reads give the counter and reset it, or 1 and count down (EFD_SEMAPHORE); writes add to it."""

    __slots__ = ("count", "queue", "semaphore")

    def __init__(self, inode: Inode, flags: int, count: int, semaphore: bool) -> None:
        super().__init__(inode, O_RDWR | (flags & O_NONBLOCK), b"anon_inode:[eventfd]")
        self.count = count
        self.semaphore = semaphore
        self.queue = WaitQueue()

    def may_read(self, n: int) -> int:
        if n < 8:
            raise SysError(EINVAL)
        if self.count:
            return 8
        if self.flags & O_NONBLOCK:
            raise SysError(EAGAIN)
        raise Block(self.queue)

    def read_into(self, views: Views) -> int:
        taken = 1 if self.semaphore else self.count
        data, done = taken.to_bytes(8, "little"), 0
        for view in views:
            view[:] = data[done : done + len(view)]
            done += len(view)
        self.count -= taken
        self.queue.wake(WRITABLE)
        return done

    def may_write(self, n: int) -> int:
        if n < 8:
            raise SysError(EINVAL)
        return 8

    def write_from(self, views: Views) -> int:
        added = int.from_bytes(b"".join(views)[:8], "little")
        if added > LIMIT:
            raise SysError(EINVAL)
        if self.count + added > LIMIT:
            if self.flags & O_NONBLOCK:
                raise SysError(EAGAIN)
            raise Block(self.queue)
        self.count += added
        self.queue.wake(READABLE)
        return 8

    def poll(self) -> int:
        bits = READABLE if self.count else 0
        if self.count < LIMIT:
            bits |= WRITABLE
        return bits | (POLLERR if self.count > LIMIT else 0)

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)


class TimerFile(AnonymousFile):
    """Reads give the number of expiries since the last read, and wait for the first."""

    __slots__ = ("expired", "interval_ns", "queue", "realtime", "timer", "timers")

    def __init__(self, inode: Inode, flags: int, timers: TimerQueue, realtime: bool) -> None:
        super().__init__(inode, O_RDWR | (flags & O_NONBLOCK), b"anon_inode:[timerfd]")
        self.timers = timers
        self.realtime = realtime
        self.timer = Timer(self)
        self.interval_ns = 0  # as set, also while the timer is not armed
        self.expired = False
        self.queue = WaitQueue()

    def release(self) -> None:
        self.timer.disarm()

    def timer_fired(self, timer: Timer) -> None:
        """timer.Target. The expiries after this one are counted when somebody reads."""
        self.expired = True
        self.queue.wake(READABLE)

    def set(self, deadline_ns: int | None, interval_ns: int, absolute: bool) -> None:
        """timerfd_settime(2): the next expiry on CLOCK_MONOTONIC, None for never. Forgets expiries not yet read."""
        self.expired = False
        self.interval_ns = interval_ns
        self.timer.disarm()
        self.timer.interval_ns = 0
        if deadline_ns is not None:
            self.timers.arm(self.timer, deadline_ns, interval_ns, self.realtime and absolute)

    def left(self) -> int:
        """Nanoseconds to the next expiry, 0 if there is none."""
        self.timers.fire()
        return self.timer.left(self.timers.clock.now_ns())

    def may_read(self, n: int) -> int:
        if n < 8:
            raise SysError(EINVAL)
        self.timers.fire()
        if self.expired:
            return 8
        if self.flags & O_NONBLOCK:
            raise SysError(EAGAIN)
        raise Block(self.queue)

    def read_into(self, views: Views) -> int:
        count = self.timers.forward(self.timer) if self.timer.interval_ns else 1
        data, done = count.to_bytes(8, "little"), 0
        for view in views:
            view[:] = data[done : done + len(view)]
            done += len(view)
        self.expired = False
        return done

    def poll(self) -> int:
        self.timers.fire()
        return READABLE if self.expired else 0

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)
