"""signalfd(2): the caller's pending signals as a file (Linux fs/signalfd.c)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.fs.event import AnonymousFile
from mini_kernel.fs.file import READABLE, Views
from mini_kernel.fs.inode import Inode
from mini_kernel.signal import FAULT_SIGNALS, dequeue
from mini_kernel.task import SigInfo, Task, bit
from mini_kernel.uapi.errno import EAGAIN, EINVAL
from mini_kernel.uapi.fcntl import O_NONBLOCK, O_RDWR
from mini_kernel.uapi.signal import SI_TIMER, SIGCHLD
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.sched import Scheduler

SIGINFO_SIZE: Final = 128
#: struct signalfd_siginfo up to ssi_addr: signo, errno, code, pid, uid, fd, tid, band, overrun, trapno, status, int,
#: ptr, utime, stime, addr.
_SIGINFO: Final = struct.Struct("<IiiIIiIIIIiiQQQQ")


def pack(info: SigInfo) -> bytes:
    """struct signalfd_siginfo."""
    pid, uid, tid, status, value, address = info.pid, info.uid, 0, 0, 0, 0
    if info.signo in FAULT_SIGNALS and info.code > 0:
        pid, uid, address = 0, 0, info.address
    elif info.signo == SIGCHLD and info.code > 0:
        status = info.value
    elif info.code < 0:
        value = info.value
        if info.code == SI_TIMER:
            pid, uid, tid = 0, 0, info.pid
    low = value & 0xFFFF_FFFF
    head = _SIGINFO.pack(
        info.signo, 0, info.code, pid, uid, 0, tid, 0, 0, 0, status, low - (low >> 31 << 32),
        value & 0xFFFF_FFFF_FFFF_FFFF, 0, 0, address,
    )  # fmt: skip
    return head.ljust(SIGINFO_SIZE, b"\0")


class SignalFile(AnonymousFile):
    """Reads take pending signals of whoever reads, its own before its process's. `mask`: bits as in a signal mask."""

    __slots__ = ("mask", "queue", "sched")

    def __init__(self, inode: Inode, flags: int, mask: int, sched: "Scheduler") -> None:
        super().__init__(inode, O_RDWR | (flags & O_NONBLOCK), b"anon_inode:[signalfd]")
        self.mask = mask
        self.sched = sched
        self.queue = self._reader().process.signal_events

    def _reader(self) -> Task:
        """The task whose system call this is."""
        if self.sched.loaded is None:
            raise KernelBug("a signalfd is used by nobody")
        return self.sched.loaded

    def _waiting(self) -> list[tuple[list[SigInfo], SigInfo]]:
        """The pending signals in the mask, in the order they are taken, each with the list it is in."""
        reader = self._reader()
        found: list[tuple[list[SigInfo], SigInfo]] = []
        for pending in (reader.pending, reader.process.pending):
            matching = [info for info in pending if self.mask & bit(info.signo)]
            found += [(pending, info) for info in sorted(matching, key=lambda info: info.signo)]
        return found

    def may_read(self, n: int) -> int:
        if n < SIGINFO_SIZE:
            raise SysError(EINVAL)
        waiting = self._waiting()
        if waiting:
            return min(n // SIGINFO_SIZE, len(waiting)) * SIGINFO_SIZE
        if self.flags & O_NONBLOCK:
            raise SysError(EAGAIN)
        raise Block(self._reader().process.signal_events)

    def read_into(self, views: Views) -> int:
        room = sum(map(len, views))
        taken = self._waiting()[: -(-room // SIGINFO_SIZE)]
        process = self._reader().process
        infos = [dequeue(process, pending, info) for pending, info in taken]
        data, done = b"".join(map(pack, infos)), 0
        for view in views:
            view[:] = data[done : done + len(view)]
            done += len(view)
        return done

    def poll(self) -> int:
        return READABLE if self._waiting() else 0

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)
