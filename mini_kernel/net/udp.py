"""UDP: datagrams that arrive at once, or not at all if nobody has the port or the receiver's buffer is full."""

from collections import deque
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, Views
from mini_kernel.net.address import Endpoint, family_of, is_any, pack_inet
from mini_kernel.net.inet import InetSocket
from mini_kernel.net.message import Message, Outgoing, Received, fill
from mini_kernel.net.network import Network
from mini_kernel.net.socket import BUFFER, RECEIVE, SEND
from mini_kernel.uapi.errno import (
    EAFNOSUPPORT,
    ECONNREFUSED,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)
from mini_kernel.uapi.poll import POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND
from mini_kernel.uapi.socket import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IPPROTO_UDP,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SO_RCVBUF,
    SOCK_DGRAM,
    SOL_SOCKET,
)

LARGEST: Final = {4: 65507, 16: 65527}  # bytes of data, by the length of the address


class UdpSocket(InetSocket):
    """A SOCK_DGRAM socket of AF_INET; `Udp6Socket` is that of AF_INET6."""

    __slots__ = ("held", "messages")

    breaks_silently = True

    def __init__(self, net: Network, flags: int) -> None:
        super().__init__(net, SOCK_DGRAM, IPPROTO_UDP, flags)
        self.messages: deque[Message] = deque()
        self.held = 0  # charges of what is in the queue

    def release(self) -> None:
        super().release()
        self.net.held -= self.held
        self.messages.clear()

    # -- names --------------------------------------------------------------------------------------

    def connect(self, address: bytes) -> None:
        if family_of(address) == AF_UNSPEC:
            self.remote = None
            self.forget_address()
            return
        target = self.parse(address)
        source = self.source_for(target.ip)
        if not self.local.port:
            self.take_port()
        self.local = Endpoint(source, self.local.port)
        self.remote = target

    def peer_address(self) -> bytes:
        if self.remote is None:
            raise SysError(ENOTCONN)
        return pack_inet(self.family, self.remote)

    def shutdown(self, how: int) -> None:
        """Without a peer it fails, and closes all the same, as in Linux."""
        self.closed |= how
        self.queue.wake()
        if self.remote is None:
            raise SysError(ENOTCONN)

    # -- sending ------------------------------------------------------------------------------------

    def _speaks_v4(self, address: bytes) -> bool:
        return len(address) >= 2 and family_of(address) == AF_INET

    def _target(self, out: Outgoing) -> Endpoint:
        if not out.address:
            if self.remote is None:
                raise SysError(EDESTADDRREQ)
            return self.remote
        if family_of(out.address) == AF_UNSPEC and self.family == AF_INET and len(out.address) >= 16:
            out.address = AF_INET.to_bytes(2, "little") + out.address[2:]
        elif family_of(out.address) not in (AF_INET, self.family):
            raise SysError(EAFNOSUPPORT if len(out.address) >= 16 else EINVAL)
        target = self.parse(out.address)
        if not target.port:
            raise SysError(EINVAL)
        return target

    def may_send(self, n: int, out: Outgoing) -> int:
        if out.flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if n > 0xFFFF:
            raise SysError(EMSGSIZE)
        if not self.local.port:
            self.take_port()
        target = self._target(out)
        if n > LARGEST[len(target.ip)]:
            raise SysError(EMSGSIZE)
        self.source_for(target.ip)
        self.check_error()
        if self.closed & SEND:
            raise SysError(EPIPE)
        return n

    def send(self, views: Views, out: Outgoing) -> int:
        target = self._target(out)
        data = b"".join(views)
        source = Endpoint(self.source_for(target.ip), self.local.port)
        receiver = self._receiver(target, source)
        if receiver is not None:
            receiver.deliver(data, source)
        elif not out.address:
            self.error = ECONNREFUSED  # the answer is an ICMP message
            self.queue.wake()
        return len(data)

    def _receiver(self, target: Endpoint, source: Endpoint) -> "UdpSocket | None":
        """The socket that fits best: connected to the sender, bound to the very address, bound last."""
        best: UdpSocket | None = None
        best_score = -1
        for other in self.net.ports.get((IPPROTO_UDP, target.port), ()):
            if not isinstance(other, UdpSocket) or not other.covers(target.ip):
                continue
            if other.remote is not None and other.remote != source:
                continue
            score = 4 * (other.remote is not None) + 2 * (not is_any(other.local.ip)) + (other.family == AF_INET)
            if score >= best_score:
                best, best_score = other, score
        return best

    def deliver(self, data: bytes, source: Endpoint) -> None:
        """A datagram arrives. It is lost if the buffer is full, or nobody will read."""
        message = Message(data, pack_inet(self.family, source), None, None, [])
        limit = self.option(SOL_SOCKET, SO_RCVBUF, BUFFER)
        if self.held > limit or self.net.held > self.net.limit:
            return
        self.held += message.charge
        self.net.held += message.charge
        self.messages.append(message)
        self.queue.wake(READABLE)

    # -- receiving ----------------------------------------------------------------------------------

    def may_receive(self, n: int, flags: int) -> int:
        if flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        self.check_error()
        if self.messages:
            return min(n, len(self.messages[0]))
        if self.closed & RECEIVE and self.waits(flags):
            return 0
        return self.pause(flags, self.receive_timeout)

    def receive(self, views: Views, flags: int) -> Received:
        if not self.messages:
            return Received(0, 0)
        message = self.messages[0]
        out = Received(fill(views, message.data), len(message), source=message.source)
        out.flags = MSG_TRUNC if out.length > out.n else 0
        if not flags & MSG_PEEK:
            self.messages.popleft()
            self.held -= message.charge
            self.net.held -= message.charge
        return out

    def unread(self) -> int:
        return len(self.messages[0]) if self.messages else 0

    def poll(self) -> int:
        bits = WRITABLE | POLLWRBAND | (READABLE if self.messages else 0)
        bits |= POLLERR if self.error else 0
        bits |= READABLE | POLLRDHUP if self.closed & RECEIVE else 0
        return bits | (POLLHUP if self.closed == RECEIVE | SEND else 0)


class Udp6Socket(UdpSocket):
    """A SOCK_DGRAM socket of AF_INET6."""

    __slots__ = ()

    family = AF_INET6
