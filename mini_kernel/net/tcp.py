"""TCP between sockets of one machine (Linux net/ipv4/tcp.c).

What one end sends is in the other's `buffer` when the call returns. There are no segments, so the states that only last
until an answer comes are passed at once: a FIN makes its sender FIN_WAIT2 and its receiver CLOSE_WAIT.

Invariant: `peer` is the socket at the other end while either side may still send to the other; then each is the
other's peer, or the other was closed by its last user (`orphan`).
"""

from collections import deque
from typing import ClassVar, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, Views
from mini_kernel.net.address import Endpoint, family_of, is_any, pack_inet
from mini_kernel.net.inet import InetSocket
from mini_kernel.net.message import Outgoing, Received, fill
from mini_kernel.net.network import SOMAXCONN, Network
from mini_kernel.net.socket import RECEIVE, SEND, Socket
from mini_kernel.uapi.errno import (
    EADDRINUSE,
    EAGAIN,
    EALREADY,
    ECONNREFUSED,
    ECONNRESET,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOBUFS,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)
from mini_kernel.uapi.poll import POLLERR, POLLHUP, POLLRDHUP
from mini_kernel.uapi.socket import (
    AF_INET6,
    AF_UNSPEC,
    IPPROTO_TCP,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SO_LINGER,
    SO_RCVBUF,
    SO_REUSEPORT,
    SO_SNDBUF,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
)

ESTABLISHED, SYN_SENT, FIN_WAIT2, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN = 1, 2, 5, 7, 8, 9, 10
RECEIVE_BUFFER: Final = 131072  # net.ipv4.tcp_rmem, the middle value
SEND_BUFFER: Final = 16384  # net.ipv4.tcp_wmem
_GROWN: Final = 131072  # what the send buffer of a connection grows to, unless SO_SNDBUF fixed it
BOTH: Final = RECEIVE | SEND


class TcpSocket(InetSocket):
    """A SOCK_STREAM socket of AF_INET; `Tcp6Socket` is that of AF_INET6."""

    __slots__ = (
        "backlog",
        "buffer",
        "connecting",
        "ended",
        "peer",
        "pending",
        "state",
        "waiting",
    )

    def __init__(self, net: Network, flags: int) -> None:
        super().__init__(net, SOCK_STREAM, IPPROTO_TCP, flags)
        self.state = CLOSE
        self.peer: TcpSocket | None = None
        self.buffer = bytearray()
        self.ended = False  # the other side has said that no more comes
        self.connecting = False  # a connect(2) has not yet reported how it went
        self.backlog = 0
        self.pending: deque[TcpSocket] = deque()  # of a listening socket: connected, not yet accepted
        self.waiting: deque[TcpSocket] = deque()  # those that want to connect, and there is no place for

    @property
    def is_stream(self) -> bool:
        return True

    # -- connecting ---------------------------------------------------------------------------------

    def may_bind(self) -> bool:
        return self.state == CLOSE

    def listening(self) -> bool:
        return self.state == LISTEN

    def listen(self, backlog: int) -> None:
        if self.state not in (CLOSE, LISTEN) or self.connecting:
            raise SysError(EINVAL)
        if not self.local.port:
            self.take_port()
        elif self.state == CLOSE:
            self._claim_port()
        self.state = LISTEN
        self.closed = 0
        self.backlog = min(backlog, SOMAXCONN) if backlog >= 0 else SOMAXCONN
        self._admit()

    def _claim_port(self) -> None:
        """A port that SO_REUSEADDR let several bind has one listener only."""
        self.state = LISTEN
        others = [s for s in self.net.ports[self.protocol, self.local.port] if s is not self]
        if any(other.listening() and self._conflicts(other) for other in others):
            self.state = CLOSE
            raise SysError(EADDRINUSE)

    def connect(self, address: bytes) -> None:
        """A call that waits looks again; one that must not has begun, and the next tells how it went."""
        if family_of(address) == AF_UNSPEC:
            self._disconnect()
            return
        if self.connecting:
            self._conclude()
            return
        if self.state != CLOSE:
            raise SysError(EISCONN)
        target = self.parse(address)
        if not self.local.port:
            self.take_port()
        self.local = Endpoint(self.source_for(target.ip), self.local.port)
        self.remote = target
        self.closed, self.error, self.ended = 0, 0, False
        self.state, self.connecting = SYN_SENT, True
        self._knock(target)
        if not self.waits(0):
            raise SysError(EINPROGRESS)
        self._conclude()

    def _knock(self, target: Endpoint) -> None:
        """Connect, be refused, or queue up."""
        listener = self._listener(target)
        if listener is None:
            self._refused()
        elif len(listener.pending) > listener.backlog:
            listener.waiting.append(self)
        else:
            listener.meet(self)

    def _conclude(self) -> None:
        """The end of connect(2)."""
        if self.state == SYN_SENT:
            try:
                self.pause(0, self.send_timeout, late=EINPROGRESS)
            except SysError as error:
                raise SysError(EALREADY if error.errno == EAGAIN else error.errno) from None
        self.connecting = False
        if self.error:
            error = self.error
            self._disconnect()
            raise SysError(error)

    def _refused(self) -> None:
        self.error = ECONNREFUSED
        self._close_down()

    def _listener(self, target: Endpoint) -> "TcpSocket | None":
        """Who listens there: bound to the very address first; among equals (SO_REUSEPORT) the client's port chooses."""
        found = [
            s
            for s in self.net.ports.get((IPPROTO_TCP, target.port), ())
            if isinstance(s, TcpSocket) and s.state == LISTEN and s.covers(target.ip)
        ]
        exact = [s for s in found if not is_any(s.local.ip)] or found
        if len(exact) > 1 and all(s.option(SOL_SOCKET, SO_REUSEPORT) for s in exact):
            return exact[self.local.port % len(exact)]
        return exact[-1] if exact else None

    def meet(self, client: "TcpSocket") -> None:
        """Make the server's end of a connection."""
        assert client.remote is not None
        end = type(self)(self.net, 0)
        end.options = dict(self.options)
        end.receive_timeout, end.send_timeout = self.receive_timeout, self.send_timeout
        end.local, end.remote = client.remote, client.local
        end.share_port(self)
        end.peer, client.peer = client, end
        end.state = client.state = ESTABLISHED
        self.pending.append(end)
        self.queue.wake(READABLE)
        client.queue.wake(WRITABLE)

    def _admit(self) -> None:
        """Places have become free."""
        while self.waiting and len(self.pending) <= self.backlog:
            self.meet(self.waiting.popleft())

    def accept(self, flags: int) -> Socket:
        if self.state != LISTEN:
            raise SysError(EINVAL)
        if not self.pending:
            self.pause(flags, self.receive_timeout)
        end = self.pending.popleft()
        self._admit()
        if flags & SOCK_NONBLOCK:
            end.flags |= SOCK_NONBLOCK
        return end

    def peer_address(self) -> bytes:
        if self.remote is None or self.state in (CLOSE, SYN_SENT, LISTEN):
            raise SysError(ENOTCONN)
        return pack_inet(self.family, self.remote)

    # -- the end of a connection --------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        if self.state == LISTEN:
            if how & RECEIVE:
                self._stop_listening()
                self.state = CLOSE
                self.queue.wake()
            return
        if self.state in (CLOSE, SYN_SENT) and self.peer is None:
            self.closed |= how
            self.queue.wake()
            raise SysError(ENOTCONN)
        if how & SEND and not self.closed & SEND:
            self._send_fin()
        self.closed |= how
        self.queue.wake()

    def _send_fin(self) -> None:
        """Nothing more will come from this side."""
        if self.state == ESTABLISHED:
            self.state = FIN_WAIT2
        elif self.state == CLOSE_WAIT:
            self.state = LAST_ACK
        if self.peer is not None:
            self.peer.got_fin()

    def got_fin(self) -> None:
        """Nothing more will come from the other side."""
        self.ended = True
        self.closed |= RECEIVE
        if self.state == ESTABLISHED:
            self.state = CLOSE_WAIT
        elif self.state == FIN_WAIT2:
            self._close_down()
            if self.peer is not None:
                self.peer.last_ack()
        self.queue.wake()

    def last_ack(self) -> None:
        """Both sides have said that nothing more comes."""
        if self.state == LAST_ACK:
            self._close_down()

    def got_reset(self) -> None:
        """The other side gave the connection up."""
        self.error = EPIPE if self.state == CLOSE_WAIT else ECONNRESET
        self._close_down()

    def _close_down(self) -> None:
        self.state = CLOSE
        self.closed = BOTH
        self.queue.wake()

    def _disconnect(self) -> None:
        """connect(2) to AF_UNSPEC: as new, but for the port that was asked for."""
        if self.state == LISTEN:
            self._stop_listening()
        self._abandon()
        self._forget_data()
        self.state, self.closed, self.error = CLOSE, 0, 0
        self.connecting = self.ended = False
        self.peer = self.remote = None
        self.forget_address()
        self.queue.wake()

    def _abandon(self) -> None:
        """Reset the connection."""
        peer = self.peer
        if peer is not None and peer.state != CLOSE:
            peer.got_reset()

    def _stop_listening(self) -> None:
        for end in self.pending:
            end.abort()
        self.pending.clear()
        for client in self.waiting:
            client.refuse()
        self.waiting.clear()

    def abort(self) -> None:
        """A connection that nobody accepted is reset."""
        self._abandon()
        self.state = CLOSE
        self.put()

    def refuse(self) -> None:
        """The listener that this client queued up at is gone."""
        if self.state == SYN_SENT:
            self._refused()

    def release(self) -> None:
        if self.state == LISTEN:
            self._stop_listening()
        elif self.state == SYN_SENT and self.remote is not None:
            listener = self._listener(self.remote)
            if listener is not None and self in listener.waiting:
                listener.waiting.remove(self)
        elif self.buffer or self.option(SOL_SOCKET, SO_LINGER) == 1:
            self._abandon()
        elif self.state in (ESTABLISHED, CLOSE_WAIT):
            self._send_fin()
        self._forget_data()
        self.state = CLOSE
        super().release()

    def _forget_data(self) -> None:
        self.net.held -= len(self.buffer)
        self.buffer.clear()

    # -- data ---------------------------------------------------------------------------------------

    def may_receive(self, n: int, flags: int) -> int:
        if flags & MSG_OOB:
            raise SysError(EINVAL)
        if self.state == LISTEN:
            raise SysError(ENOTCONN)
        if self.buffer:
            return min(n, len(self.buffer))
        if self.ended:
            return 0
        self.check_error()
        if self.closed & RECEIVE and self.remote is not None:
            return 0
        if self.state == CLOSE:
            raise SysError(ENOTCONN)
        return self.pause(flags, self.receive_timeout)

    def receive(self, views: Views, flags: int) -> Received:
        done = fill(views, self.buffer)
        return self._taken(done, flags)

    def discard(self, n: int) -> Received:
        """MSG_TRUNC: throw bytes away instead of storing them."""
        return self._taken(min(n, len(self.buffer)), 0)

    def _taken(self, n: int, flags: int) -> Received:
        if not flags & MSG_PEEK and n:
            del self.buffer[:n]
            self.net.held -= n
            if self.peer is not None:
                self.peer.queue.wake(WRITABLE)
        return Received(n, n, flags & MSG_TRUNC & 0)

    def may_send(self, n: int, out: Outgoing) -> int:
        if out.flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if self.state == SYN_SENT and not self.error:
            self.pause(out.flags, self.send_timeout)
        if self.error and self.error != EPIPE:
            self.check_error()
        peer = self.peer
        if self.closed & SEND or self.state == CLOSE or peer is None or self.state == LISTEN:
            self.error = 0
            raise SysError(EPIPE)
        room = self.capacity(peer) - len(peer.buffer)
        if room <= 0 and peer.refs:
            self.pause(out.flags, self.send_timeout)
        if self.net.held > self.net.limit:
            raise SysError(ENOBUFS)
        return min(n, max(room, 1))

    def capacity(self, peer: "TcpSocket") -> int:
        """Bytes that may be on their way to `peer`."""
        mine = self.option(SOL_SOCKET, SO_SNDBUF, _GROWN)
        return mine + peer.option(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)

    def send(self, views: Views, out: Outgoing) -> int:
        """To a socket that was closed bytes go as well; the answer is a reset."""
        peer = self.peer
        assert peer is not None
        if not peer.refs:
            self.got_reset()
            return sum(map(len, views))
        before = len(peer.buffer)
        for view in views:
            peer.buffer += view
        done = len(peer.buffer) - before
        self.net.held += done
        peer.queue.wake(READABLE)
        return done

    def unread(self) -> int:
        if self.state == LISTEN:
            raise SysError(EINVAL)
        return len(self.buffer)

    def poll(self) -> int:
        if self.state == LISTEN:
            return READABLE if self.pending else 0
        bits = POLLERR if self.error else 0
        bits |= POLLHUP if self.closed & BOTH == BOTH or self.state == CLOSE else 0
        bits |= READABLE | POLLRDHUP if self.closed & RECEIVE else 0
        if self.state != SYN_SENT:
            bits |= READABLE if self.buffer else 0
            bits |= WRITABLE if self._has_room() else 0
        return bits

    def _has_room(self) -> bool:
        """True if a third of the buffers is free (Linux sk_stream_is_writeable), or there is nothing to wait for."""
        peer = self.peer
        if self.closed & SEND or peer is None:
            return True
        return 3 * len(peer.buffer) <= 2 * self.capacity(peer)


class Tcp6Socket(TcpSocket):
    """A SOCK_STREAM socket of AF_INET6."""

    __slots__ = ()

    family: ClassVar[int] = AF_INET6
