"""The standard streams that are no terminal: ends of pipes, whose other end is the host's."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, User, Views
from mini_kernel.fs.inode import Inode, SuperBlock
from mini_kernel.fs.stream import HostStream
from mini_kernel.mm import uaccess
from mini_kernel.uapi.errno import EAGAIN
from mini_kernel.uapi.fcntl import O_NONBLOCK, S_IFIFO
from mini_kernel.uapi.ioctls import FIONREAD

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

_READ_SIZE: Final = 65536


class StreamInode(Inode):
    """A standard stream. Bytes read from the host too early wait in `buffer` for whoever reads next."""

    kind = S_IFIFO

    def __init__(self, sb: SuperBlock, stream: HostStream) -> None:
        super().__init__(sb, 0o600)
        self.stream = stream
        self.buffer = bytearray()

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return StreamFile(self, flags, path)


class StreamFile(File):
    """An open standard stream. Reading waits for the host, the whole machine with it: the same input, the same run."""

    __slots__ = ()

    inode: StreamInode
    can_poll = True

    def may_read(self, n: int) -> int:
        inode = self.inode
        if not inode.buffer:
            if self.flags & O_NONBLOCK and not inode.stream.ready():
                raise SysError(EAGAIN)
            inode.buffer += inode.stream.read(_READ_SIZE)
        return min(n, len(inode.buffer))

    def read_into(self, views: Views) -> int:
        buffer, done = self.inode.buffer, 0
        for view in views:
            view[:] = buffer[done : done + len(view)]
            done += len(view)
        del buffer[:done]
        return done

    def may_write(self, n: int) -> int:
        return n

    def write_from(self, views: Views) -> int:
        data = b"".join(views)
        self.inode.stream.write(data)
        return len(data)

    def poll(self) -> int:
        return (READABLE if self.can_read else 0) | (WRITABLE if self.can_write else 0)

    def ioctl(self, user: User, request: int, argument: int) -> int:
        if request != FIONREAD:
            return super().ioctl(user, request, argument)
        uaccess.write_u32(user.mm, argument, len(self.inode.buffer))
        return 0
