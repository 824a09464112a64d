"""AF_UNIX: names, connections, the end of a socket (Linux net/unix/af_unix.c). Data is in unix_stream and unix_packet.

A socket is bound to a place in the file tree (a `SocketNode` there leads to it), to an abstract name, or to nothing.
`peer` of a connected socket is the other end, of a datagram socket where it sends to.

Invariant: `unsent_bytes` is the sum of the charges of the messages in other sockets' queues whose sender this is.
"""

from collections import deque
from collections.abc import Iterator
from typing import ClassVar, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, Views
from mini_kernel.fs.inode import SocketNode
from mini_kernel.fs.namei import adopt, place_for_new
from mini_kernel.fs.path import MAY_WRITE, require, walk
from mini_kernel.net.address import family_of, pack_unix, parse_unix
from mini_kernel.net.message import Credentials, Message, Outgoing
from mini_kernel.net.network import SOMAXCONN, Network
from mini_kernel.net.socket import BUFFER, RECEIVE, SEND, Socket
from mini_kernel.uapi.errno import (
    EADDRINUSE,
    ECONNREFUSED,
    ECONNRESET,
    EEXIST,
    EINVAL,
    EISCONN,
    ENOBUFS,
    ENOENT,
    ENOTCONN,
    EOPNOTSUPP,
    EPROTOTYPE,
)
from mini_kernel.uapi.poll import POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND
from mini_kernel.uapi.socket import AF_UNIX, AF_UNSPEC, SO_PASSCRED, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET
from mini_kernel.wait import WaitQueue

BOTH: Final = RECEIVE | SEND


class UnixSocket(Socket):
    """What streams and packets have in common."""

    __slots__ = ("backlog", "bound", "fans", "messages", "peer", "peer_ids", "pending", "room", "unsent_bytes")

    family: ClassVar[int] = AF_UNIX
    carries_rights: ClassVar[bool] = True

    def __init__(self, net: Network, type_: int, flags: int) -> None:
        super().__init__(net, type_, 0, flags)
        self.bound = b""
        self.peer: UnixSocket | None = None
        self.peer_ids = super().peer_credentials()
        self.messages: deque[Message] = deque()
        self.pending: deque[UnixSocket] = deque()  # connected, not yet accepted
        self.backlog = -1  # of a listening socket
        self.room = WaitQueue()  # waits for a place in `pending` or `messages`
        self.fans: list[UnixSocket] = []  # datagram sockets that send here
        self.unsent_bytes = 0

    # -- names --------------------------------------------------------------------------------------

    def bind(self, address: bytes) -> None:
        name = parse_unix(address)
        if not name:
            if not self.bound:
                self._bind_any()
        elif name[:1] == b"\0":
            if self.bound:
                raise SysError(EINVAL)
            self._bind_abstract(name)
        else:
            self._bind_path(name)

    def _bind_abstract(self, name: bytes) -> None:
        if name in self.net.abstract:
            raise SysError(EADDRINUSE)
        self.net.abstract[name] = self
        self.bound = name

    def _bind_any(self) -> None:
        """Autobind: an abstract name of five hexadecimal digits."""
        while True:
            name = b"\0%05x" % self.net.next_name
            self.net.next_name = (self.net.next_name + 1) & 0xFFFFF
            if name not in self.net.abstract:
                self._bind_abstract(name)
                return

    def _bind_path(self, path: bytes) -> None:
        caller = self.net.caller
        try:
            place = place_for_new(caller, path)
        except SysError as error:
            raise SysError(EADDRINUSE if error.errno == EEXIST else error.errno) from None
        if self.bound:
            raise SysError(EINVAL)
        node = SocketNode(place.parent.sb, self.inode.mode & 0o777 & ~caller.fs.umask)
        adopt(place, node, caller.fs)
        node.socket = self
        self.bound = path

    def find(self, name: bytes) -> "UnixSocket":
        """The socket bound to a name. Raises SysError ECONNREFUSED, EACCES, EPROTOTYPE and what the walk raises."""
        if name[:1] == b"\0":
            found = self.net.abstract.get(name)
        else:
            node = walk(self.net.caller, name).inode
            if node is None:
                raise SysError(ENOENT)
            require(node, MAY_WRITE, self.net.caller.fs)
            found = node.socket if isinstance(node, SocketNode) else None
        if not isinstance(found, UnixSocket) or not found.refs:
            raise SysError(ECONNREFUSED)
        if found.type != self.type:
            raise SysError(EPROTOTYPE)
        return found

    def address(self) -> bytes:
        return pack_unix(self.bound)

    def peer_address(self) -> bytes:
        if self.peer is None:
            raise SysError(ENOTCONN)
        return pack_unix(self.peer.bound)

    def peer_credentials(self) -> Credentials:
        return self.peer_ids

    # -- connections --------------------------------------------------------------------------------

    @property
    def connects(self) -> bool:
        """True for types that have connections."""
        return self.type != SOCK_DGRAM

    def listening(self) -> bool:
        return self.backlog >= 0

    def join(self, other: "UnixSocket") -> None:
        """socketpair(2)."""
        self.peer, other.peer = other, self
        self.peer_ids = other.peer_ids = self.credentials()
        if not self.connects:
            self.fans.append(other)
            other.fans.append(self)

    def listen(self, backlog: int) -> None:
        if not self.connects:
            raise SysError(EOPNOTSUPP)
        if not self.bound or self.peer is not None or self.closed & BOTH == BOTH:
            raise SysError(EINVAL)
        if backlog > self.backlog:
            self.room.wake()
        self.backlog = min(backlog, SOMAXCONN) if backlog >= 0 else SOMAXCONN
        self.peer_ids = self.credentials()

    def connect(self, address: bytes) -> None:
        if not self.connects:
            self._aim(address)
            return
        name = parse_unix(address)
        if not name:
            raise SysError(EINVAL)
        self.bind_to_be_known(self)
        other = self.find(name)
        if not other.listening() or other.closed & RECEIVE:
            raise SysError(ECONNREFUSED)
        if len(other.pending) > other.backlog:
            self.pause(0, self.send_timeout, other.room)
        if self.peer is not None or self.listening():
            raise SysError(EINVAL if self.listening() else EISCONN)
        self._meet(other)

    def _meet(self, listener: "UnixSocket") -> None:
        """The server's end of the connection waits to be accepted."""
        end = type(self)(self.net, self.type, 0)
        end.options = {(SOL_SOCKET, SO_PASSCRED): 1} if listener.option(SOL_SOCKET, SO_PASSCRED) else {}
        end.bound = listener.bound
        end.peer, self.peer = self, end
        end.peer_ids, self.peer_ids = self.credentials(), listener.peer_ids
        listener.pending.append(end)
        listener.queue.wake(READABLE)

    def _aim(self, address: bytes) -> None:
        """Where a datagram socket sends from now on."""
        if family_of(address) == AF_UNSPEC:
            self.leave_peer()
            return
        name = parse_unix(address)
        if not name:
            raise SysError(EINVAL)
        self.bind_to_be_known(self)
        other = self.find(name)
        self.require_welcome(other)
        self.leave_peer()
        self.peer = other
        other.fans.append(self)

    def leave_peer(self) -> None:
        """A datagram socket sends to nobody in particular."""
        if self.peer is not None:
            self.peer.fans = [fan for fan in self.peer.fans if fan is not self]
            self.peer = None

    def bind_to_be_known(self, other: "UnixSocket") -> None:
        """Credentials that either side asks for come with a name."""
        if not self.bound and (self.option(SOL_SOCKET, SO_PASSCRED) or other.option(SOL_SOCKET, SO_PASSCRED)):
            self._bind_any()

    def require_welcome(self, other: "UnixSocket") -> None:
        """SysError(EPERM) if `other` takes data only from another peer."""

    def accept(self, flags: int) -> Socket:
        if not self.connects:
            raise SysError(EOPNOTSUPP)
        if not self.listening():
            raise SysError(EINVAL)
        if not self.pending:
            if self.closed & RECEIVE:
                raise SysError(EINVAL)
            self.pause(flags, self.receive_timeout)
        self.room.wake()
        return self.pending.popleft()

    def shutdown(self, how: int) -> None:
        self.closed |= how
        self.queue.wake()
        peer = self.peer
        if peer is not None and self.connects:
            peer.closed |= (SEND if how & RECEIVE else 0) | (RECEIVE if how & SEND else 0)
            peer.queue.wake()
        self.room.wake()

    # -- the end ------------------------------------------------------------------------------------

    def put(self) -> None:
        super().put()
        if self.net.flight.sockets:
            self.net.flight.collect()

    def release(self) -> None:
        super().release()
        if self.net.abstract.get(self.bound) is self:
            del self.net.abstract[self.bound]
        self._end_connection()
        for end in self.pending:
            if end.peer is not None:
                end.peer.error = ECONNRESET
            end.put()
        self.pending.clear()
        self.purge()
        self.room.wake()

    def _end_connection(self) -> None:
        peer, self.peer = self.peer, None
        for fan in self.fans:
            fan.queue.wake()
        self.fans = []
        if peer is None:
            return
        if not self.connects:
            peer.fans = [fan for fan in peer.fans if fan is not self]
            return
        peer.closed = BOTH
        if self.messages:
            peer.error = ECONNRESET
        peer.queue.wake()

    def carried(self) -> Iterator[File]:
        """The files in its queue, and in those of connections that nobody has accepted."""
        for message in self.messages:
            yield from message.rights
        for end in self.pending:
            yield from end.carried()

    def purge(self) -> None:
        """Throw away what was received, with the files in it."""
        while self.messages:
            message = self.messages.popleft()
            self.finished(message)
            rights, message.rights = message.rights, []
            self.net.flight.discard(rights)
        for end in self.pending:
            end.purge()

    # -- the send buffer ----------------------------------------------------------------------------

    @property
    def send_buffer(self) -> int:
        """SO_SNDBUF in bytes."""
        return self.option(SOL_SOCKET, SO_SNDBUF, BUFFER)

    def require_room(self, flags: int) -> None:
        """Return when there is room for a message. Raises SysError(ENOBUFS) if the whole system's is used up."""
        if self.unsent_bytes >= self.send_buffer:
            self.pause(flags, self.send_timeout)
        if self.net.held > self.net.limit:
            raise SysError(ENOBUFS)

    def post(self, target: "UnixSocket", data: bytes, out: Outgoing) -> None:
        """Put a message into another socket's queue. Raises SysError(ETOOMANYREFS)."""
        known = self.option(SOL_SOCKET, SO_PASSCRED) or target.option(SOL_SOCKET, SO_PASSCRED)
        ids = out.credentials or (self.credentials() if known else None)
        rights = self.net.flight.depart(out.rights)
        message = Message(data, self.address() if self.bound else b"", self, ids, rights)
        self.unsent_bytes += message.charge
        self.net.held += message.charge
        target.messages.append(message)
        target.queue.wake(READABLE)

    def finished(self, message: Message) -> None:
        """A message has left this socket's queue: its sender has room again."""
        self.net.held -= message.charge
        sender = message.sender
        if isinstance(sender, UnixSocket):
            sender.unsent_bytes -= message.charge
            sender.queue.wake(WRITABLE)

    def unsent(self) -> int:
        return self.unsent_bytes

    # -- readiness ----------------------------------------------------------------------------------

    def poll(self) -> int:
        bits = READABLE if self.messages or self.pending else 0
        bits |= POLLERR if self.error else 0
        bits |= POLLHUP if self.closed & BOTH == BOTH else 0
        bits |= READABLE | POLLRDHUP if self.closed & RECEIVE else 0
        if self.connects and self.peer is None and not self.closed and not self.listening():
            bits |= POLLHUP
        return bits | (WRITABLE | POLLWRBAND if self.has_room() else 0)

    def has_room(self) -> bool:
        """True while at least three quarters of the send buffer are free (Linux unix_writable)."""
        return not self.listening() and self.unsent_bytes << 2 <= self.send_buffer

    def copy_of(self, message: Message, taken: bool) -> list[File]:
        """The files of a message: its own references if it is `taken` from the queue, else new ones."""
        if not taken:
            return [file.get() for file in message.rights]
        rights, message.rights = message.rights, []
        return self.net.flight.arrive(rights)


def joined(views: Views) -> bytes:
    """What is in `views`, as it is now."""
    return bytes(views[0]) if len(views) == 1 else b"".join(views)
