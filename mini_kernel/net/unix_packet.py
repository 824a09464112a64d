"""AF_UNIX datagrams, and packets of connected sockets (SOCK_SEQPACKET)."""

from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import WRITABLE, Views
from mini_kernel.net.address import parse_unix
from mini_kernel.net.message import NOBODY, Outgoing, Received, fill
from mini_kernel.net.socket import RECEIVE, SEND
from mini_kernel.net.unix import UnixSocket, joined
from mini_kernel.uapi.errno import (
    ECONNREFUSED,
    EINVAL,
    EMSGSIZE,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
)
from mini_kernel.uapi.socket import MSG_OOB, MSG_PEEK, MSG_TRUNC

MAX_QUEUE: Final = 10  # net.unix.max_dgram_qlen


class UnixPacket(UnixSocket):
    """A SOCK_DGRAM or SOCK_SEQPACKET socket."""

    __slots__ = ()

    breaks_silently = True

    # -- receiving ----------------------------------------------------------------------------------

    def may_receive(self, n: int, flags: int) -> int:
        """A datagram of no bytes is taken at once: there is nothing to deliver."""
        if flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if self.connects and self.peer is None:
            raise SysError(ENOTCONN)
        if self.messages:
            return min(n, len(self.messages[0]))
        self.check_error()
        if self.closed & RECEIVE and (self.connects or self.waits(flags)):
            return 0
        return self.pause(flags, self.receive_timeout)

    def receive(self, views: Views, flags: int) -> Received:
        if not self.messages:
            return Received(0, 0)
        message, taken = self.messages[0], not flags & MSG_PEEK
        length = len(message)
        out = Received(fill(views, message.data), length)
        out.flags = MSG_TRUNC if length > out.n else 0
        out.source = message.source
        out.credentials = message.credentials or NOBODY
        out.rights = self.copy_of(message, taken)
        if taken:
            self.messages.popleft()
            self.finished(message)
            self._made_room()
        return out

    def _made_room(self) -> None:
        """A place in the queue is free: for who waits to send, and for who is told when it could."""
        self.room.wake()
        for fan in self.fans:
            fan.queue.wake(WRITABLE)

    # -- sending ------------------------------------------------------------------------------------

    def may_send(self, n: int, out: Outgoing) -> int:
        if out.flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if self.connects:
            self.check_error()
        target = self._target(out)
        if n > self.send_buffer - 32:
            raise SysError(EMSGSIZE)
        if self.closed & SEND:
            raise SysError(EPIPE)
        self.require_room(out.flags)
        if target.closed & RECEIVE:
            raise SysError(EPIPE)
        if self._is_full(target):
            self.pause(out.flags, self.send_timeout, target.room, self.queue)
        return n

    def _target(self, out: Outgoing) -> UnixSocket:
        """Where it goes. Raises SysError ENOTCONN, ECONNREFUSED, EPERM and what `find` raises."""
        if out.address and not self.connects:
            name = parse_unix(out.address)
            if not name:
                raise SysError(EINVAL)
            self.bind_to_be_known(self)
            target = self.find(name)
            self.require_welcome(target)
            return target
        peer = self.peer
        if peer is None:
            raise SysError(ENOTCONN)
        if self.connects:
            return peer
        if not peer.refs:
            self.leave_peer()
            raise SysError(ECONNREFUSED)
        self.bind_to_be_known(peer)
        return peer

    def _is_full(self, target: UnixSocket) -> bool:
        """True if a datagram must wait; the ends of a pair do not wait for each other (Linux unix_dgram_sendmsg)."""
        return target.peer is not self and len(target.messages) > MAX_QUEUE

    def require_welcome(self, other: UnixSocket) -> None:
        if other.peer is not None and other.peer is not self:
            raise SysError(EPERM)

    def send(self, views: Views, out: Outgoing) -> int:
        target = self._target(out)
        data = joined(views)
        self.post(target, data, out)
        return len(data)

    # -- readiness ----------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """As for streams, and there is room in the peer's queue."""
        return super().has_room() and not (self.peer is not None and not self.connects and self._is_full(self.peer))

    def unread(self) -> int:
        if self.listening():
            raise SysError(EINVAL)
        if self.connects:
            return sum(map(len, self.messages))
        return len(self.messages[0]) if self.messages else 0
