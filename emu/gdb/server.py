"""The socket below a session: 127.0.0.1 only, one gdb at a time, as many after one another as come."""

import select
import socket
import threading
from collections.abc import Callable
from typing import Self

from emu.gdb.packet import BadPacket, Reader, frame
from emu.gdb.session import Session
from emu.gdb.target import Target

LOOPBACK = "127.0.0.1"


class Gone(Exception):
    """The other end has closed the connection."""


class SocketConnection:
    """session.Connection over a socket. Everything but QStartNoAckMode's reply is acknowledged until that."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = Reader()
        self.acknowledges = True
        self.gone = False

    def _receive(self) -> bool:
        """Take what has come; False at the end."""
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return False
        self._reader.feed(data)
        return True

    def read(self) -> bytes | None:
        """The next packet. Raises BadPacket after asking for it again."""
        while True:
            try:
                packet = self._reader.next()
            except BadPacket:
                self._send(b"-" if self.acknowledges else b"")
                raise
            if packet is not None:
                if self.acknowledges and packet != b"\x03":
                    self._send(b"+")
                return packet
            if not self._receive():
                return None

    def write(self, data: bytes) -> None:
        """Send a packet; nothing if the other end is gone."""
        self._send(frame(data))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.gone = True

    def watch(self, interrupt: Callable[[], None]) -> "_Watch":
        """See session.Connection."""
        return _Watch(self, self._socket, interrupt)

    def asked_to_stop(self) -> bool:
        """True if Ctrl-C has come already."""
        return self._reader.interrupted()

    def asks_to_stop(self) -> bool:
        """Called when there is something to read: True for Ctrl-C, and for the end."""
        return not self._receive() or self._reader.interrupted()


class _Watch:
    """A thread that listens while the program runs."""

    def __init__(self, connection: SocketConnection, sock: socket.socket, interrupt: Callable[[], None]) -> None:
        self._connection, self._socket, self._interrupt = connection, sock, interrupt

    def __enter__(self) -> Self:
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ours.send(b"x")
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _listen(self) -> None:
        if self._connection.asked_to_stop():
            self._interrupt()
            return
        while True:
            ready, _, _ = select.select([self._socket, self._theirs], [], [])
            if self._theirs in ready:
                return
            if self._connection.asks_to_stop():
                self._interrupt()
                return


class Server:
    """Listens from its creation on; `port` 0 takes any that is free (see `port`)."""

    def __init__(self, target: Target, port: int) -> None:
        """Raises OSError if the port cannot be had."""
        self.target = target
        self._listener = socket.create_server((LOOPBACK, port), backlog=1)
        self.port: int = self._listener.getsockname()[1]

    def serve(self, sessions: int | None = None) -> None:
        """Conversations one after another, without end or so many."""
        while sessions is None or sessions > 0:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                runs_on = Session(self._ready(), SocketConnection(connection)).run()
            if sessions is not None:
                sessions -= 1
            if runs_on:
                self._run_on(wait=sessions != 0)

    def _ready(self) -> Target:
        """The target for a new conversation: the one there is, all of it known again; a new one if it has ended."""
        target = self.target
        if target.d.current is None or target.ended is not None:
            target.close()
            target.start(None)
        for task in list(target.d.kernel.tasks.values()):
            target.attach(task.tgid)
        return target

    def _run_on(self, wait: bool) -> None:
        """Nobody debugs it any more: let it run, to its end or until somebody comes."""
        with _Caller(self._listener, self.target.d.interrupt if wait else None):
            self.target.run_free()

    def close(self) -> None:
        """Stop listening, and end the guest."""
        self._listener.close()
        self.target.close()


class _Caller(_Watch):
    """Interrupts when somebody calls."""

    def __init__(self, listener: socket.socket, interrupt: Callable[[], None] | None) -> None:
        self._socket = listener
        self._interrupt = interrupt or (lambda: None)

    def _listen(self) -> None:
        ready, _, _ = select.select([self._socket, self._theirs], [], [])
        if self._theirs not in ready:
            self._interrupt()
