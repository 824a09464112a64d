"""pidfds: descriptors of processes (Linux kernel/pid.c, pidfd_open(2))."""

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousFile
from mini_kernel.fs.file import READABLE
from mini_kernel.fs.inode import Inode
from mini_kernel.task import Process, Task
from mini_kernel.uapi.errno import EINVAL
from mini_kernel.uapi.fcntl import O_NONBLOCK, O_RDWR
from mini_kernel.uapi.poll import POLLHUP
from mini_kernel.wait import WaitQueue


class PidFile(AnonymousFile):
    """Stands for a process, or one thread of it; readable once that has ended. It moves no data."""

    __slots__ = ("process", "thread")

    def __init__(self, inode: Inode, flags: int, process: Process, thread: Task | None = None) -> None:
        super().__init__(inode, O_RDWR | (flags & O_NONBLOCK), b"anon_inode:[pidfd]")
        self.process = process
        self.thread = thread

    def poll(self) -> int:
        if self.process.reaped:
            return READABLE | POLLHUP
        ended = self.process.zombie if self.thread is None else not self.thread.alive
        return READABLE if ended else 0

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.process.end_events,)

    def seek(self, offset: int, whence: int) -> int:
        raise SysError(EINVAL)
