"""eventfd(2): a counter to wait for."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, Views
from mini_kernel.fs.inode import Inode
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


class EventFile(File):
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
        self.queue.wake()
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
        self.queue.wake()
        return 8

    def poll(self) -> int:
        bits = READABLE if self.count else 0
        if self.count < LIMIT:
            bits |= WRITABLE
        return bits | (POLLERR if self.count > LIMIT else 0)

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)
