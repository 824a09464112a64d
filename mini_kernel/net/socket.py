"""Socket: an open file that data is sent and received through. Each family and type has a class of its own.

Data moves as with other files, in two steps: `may_receive` and `may_send` say how much, or that the caller must wait
or is refused; `receive` and `send` do it. read(2) and write(2) are the same without flags.
"""

from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, User, Views
from mini_kernel.fs.inode import Inode
from mini_kernel.fs.superblock import SuperBlock
from mini_kernel.mm import uaccess
from mini_kernel.net.device import device_ioctl
from mini_kernel.net.message import Credentials, Outgoing, Received
from mini_kernel.uapi.errno import EAGAIN, EINVAL, ENOTCONN, ENXIO, EOPNOTSUPP
from mini_kernel.uapi.fcntl import O_NONBLOCK, O_RDWR, S_IFSOCK
from mini_kernel.uapi.ioctls import FIONREAD, TIOCOUTQ
from mini_kernel.uapi.misc import SOCKFS_MAGIC
from mini_kernel.uapi.socket import MSG_DONTWAIT
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller
    from mini_kernel.net.network import Network

BUFFER: Final = 212992  # net.core.rmem_default, wmem_default
#: What shutdown(2) may close.
RECEIVE, SEND = 1, 2

OptionKey = tuple[int, int]  # (level, name)


class SocketInode(Inode):
    """The nameless inode of a socket."""

    kind = S_IFSOCK
    magic = SOCKFS_MAGIC

    def __init__(self, sb: SuperBlock) -> None:
        super().__init__(sb, 0o777)
        self.nlink = 1

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        raise SysError(ENXIO)


class Socket(File):
    """A socket. `closed` holds RECEIVE and SEND once there will be no more data in that direction.

    `error` is reported once, by the next call that looks, SO_ERROR included.
    """

    __slots__ = ("closed", "error", "net", "options", "protocol", "queue", "receive_timeout", "send_timeout", "type")

    can_poll = True
    family: ClassVar[int] = 0

    def __init__(self, net: "Network", type_: int, protocol: int, flags: int) -> None:
        inode = SocketInode(net.sb)
        super().__init__(inode, O_RDWR | (flags & O_NONBLOCK), b"socket:[%d]" % inode.ino)
        self.net = net
        self.type = type_
        self.protocol = protocol
        self.error = 0
        self.closed: int = 0
        self.queue = WaitQueue()
        self.options: dict[OptionKey, int] = {}  # as set, where not the default
        self.receive_timeout = 0  # ns, 0 for none
        self.send_timeout = 0
        net.sockets[inode.ino] = self

    def release(self) -> None:
        del self.net.sockets[self.inode.ino]

    # -- waiting and failing ------------------------------------------------------------------------

    def check_error(self) -> None:
        """Raise and forget the pending error, if there is one."""
        if self.error:
            error, self.error = self.error, 0
            raise SysError(error)

    def waits(self, flags: int) -> bool:
        """False if the call must not wait."""
        return not (flags & MSG_DONTWAIT or self.flags & O_NONBLOCK)

    def pause(self, flags: int, timeout_ns: int, *queues: WaitQueue, late: int = EAGAIN) -> NoReturn:
        """Wait on these queues, the socket's own if none are given; for `timeout_ns`, if not 0, then errno `late`.

        Raises Block, or SysError(EAGAIN) for a call that must not wait.
        """
        if not self.waits(flags):
            raise SysError(EAGAIN)
        if not timeout_ns:
            raise Block(*(queues or (self.queue,)))
        restart, now = self.net.caller.restart, self.net.clock.now_ns()
        deadline = restart.setdefault("deadline", now + timeout_ns)
        if now >= deadline:
            raise SysError(late)
        raise Block(*(queues or (self.queue,)), deadline_ns=deadline)

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    # -- option values that others look at ----------------------------------------------------------

    def option(self, level: int, name: int, default: int = 0) -> int:
        """The value of an integer option."""
        return self.options.get((level, name), default)

    def credentials(self) -> Credentials:
        """Who is calling."""
        caller = self.net.caller
        return Credentials(caller.tgid, caller.fs.uid, caller.fs.gid)

    def peer_credentials(self) -> Credentials:
        """SO_PEERCRED."""
        return Credentials(0, 0xFFFF_FFFF, 0xFFFF_FFFF)

    def listening(self) -> bool:
        """SO_ACCEPTCONN."""
        return False

    # -- connections and names, as struct sockaddr --------------------------------------------------

    def bind(self, address: bytes) -> None:
        """bind(2)."""
        raise SysError(EOPNOTSUPP)

    def listen(self, backlog: int) -> None:
        """listen(2)."""
        raise SysError(EOPNOTSUPP)

    def accept(self, flags: int) -> "Socket":
        """accept4(2): a connected socket, not yet in a table. `flags`: MSG_DONTWAIT, SOCK_NONBLOCK."""
        raise SysError(EOPNOTSUPP)

    def connect(self, address: bytes) -> None:
        """connect(2)."""
        raise SysError(EOPNOTSUPP)

    def address(self) -> bytes:
        """getsockname(2)."""
        raise SysError(EOPNOTSUPP)

    def peer_address(self) -> bytes:
        """getpeername(2)."""
        raise SysError(ENOTCONN)

    def shutdown(self, how: int) -> None:
        """shutdown(2); `how` is RECEIVE, SEND or both."""
        raise SysError(EOPNOTSUPP)

    # -- data ---------------------------------------------------------------------------------------

    def may_receive(self, n: int, flags: int) -> int:
        """How many of `n` bytes there are now, 0 at the end. Raises Block or SysError."""
        raise SysError(EOPNOTSUPP)

    def receive(self, views: Views, flags: int) -> Received:
        """Take what `may_receive` has found."""
        raise SysError(EOPNOTSUPP)

    def may_send(self, n: int, out: Outgoing) -> int:
        """How many of `n` bytes there is room for: all of a datagram, at least one of a stream. Block or SysError."""
        raise SysError(EOPNOTSUPP)

    def send(self, views: Views, out: Outgoing) -> int:
        """Send what `may_send` has allowed."""
        raise SysError(EOPNOTSUPP)

    @property
    def is_stream(self) -> bool:
        """True if what is sent has no boundaries."""
        return False

    def may_read(self, n: int) -> int:
        n = self.may_receive(n, 0)
        if not n:
            self.receive((), 0)  # a datagram of no bytes is taken now: read(2) has nothing to copy
        return n

    def read_into(self, views: Views) -> int:
        received = self.receive(views, 0)
        for file in received.rights:
            file.put()  # read(2) takes no descriptors
        return received.n

    def may_write(self, n: int) -> int:
        return self.may_send(n, Outgoing())

    def write_from(self, views: Views) -> int:
        return self.send(views, Outgoing())

    def write_nothing(self) -> int:
        if not self.is_stream:
            self.may_write(0)
            self.write_from(())
        return 0

    # -- control ------------------------------------------------------------------------------------

    def unread(self) -> int:
        """FIONREAD: bytes that the next receive can take. Raises SysError(EINVAL) where there can be none."""
        raise SysError(EINVAL)

    def unsent(self) -> int:
        """SIOCOUTQ: bytes of the send buffer in use."""
        return 0

    def ioctl(self, user: User, request: int, argument: int) -> int:
        if request == FIONREAD:
            uaccess.write_u32(user.mm, argument, self.unread())
        elif request == TIOCOUTQ:
            uaccess.write_u32(user.mm, argument, self.unsent())
        else:
            device_ioctl(user, request, argument)
        return 0
