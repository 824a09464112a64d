"""The terminal as an inode and as an open file."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, User, Views
from mini_kernel.fs.inode import Inode, SuperBlock
from mini_kernel.fs.tty import Terminal
from mini_kernel.uapi.errno import ENXIO
from mini_kernel.uapi.fcntl import O_NONBLOCK, S_IFCHR
from mini_kernel.uapi.structs import makedev
from mini_kernel.wait import WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller


class TerminalInode(Inode):
    """/dev/pts/0."""

    kind = S_IFCHR

    def __init__(self, sb: SuperBlock, terminal: Terminal) -> None:
        super().__init__(sb, 0o620, gid=5)
        self.terminal = terminal
        self.rdev = makedev(136, 0)

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return TerminalFile(self, flags, path)

    def open_controlling(self, flags: int, path: bytes) -> File:
        """/dev/tty: raises SysError(ENXIO) unless it is the caller's controlling terminal."""
        caller = self.terminal.jobs.caller()
        if caller is not None and not self.terminal.controls(caller.sid):
            raise SysError(ENXIO)
        return TerminalFile(self, flags, path)


class TerminalFile(File):
    """The terminal, opened."""

    __slots__ = ()

    inode: TerminalInode
    can_poll = True

    def may_read(self, n: int) -> int:
        return self.inode.terminal.may_read(n, bool(self.flags & O_NONBLOCK))

    def read_into(self, views: Views) -> int:
        done = 0
        for view in views:
            data = self.inode.terminal.discipline.take(len(view))
            view[: len(data)] = data
            done += len(data)
        return done

    def may_write(self, n: int) -> int:
        return self.inode.terminal.may_write(n, bool(self.flags & O_NONBLOCK))

    def write_from(self, views: Views) -> int:
        data = b"".join(views)
        self.inode.terminal.write(data)
        return len(data)

    def poll(self) -> int:
        return self.inode.terminal.poll()

    def queues(self) -> tuple[WaitQueue, ...]:
        return self.inode.terminal.read_queue, self.inode.terminal.write_queue

    def ioctl(self, user: User, request: int, argument: int) -> int:
        return self.inode.terminal.ioctl(user, request, argument)
