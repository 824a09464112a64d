"""AF_UNIX streams: bytes without boundaries, but for those that files or other credentials come with."""

from mini_kernel.errors import SysError
from mini_kernel.fs.file import Views
from mini_kernel.net.message import NOBODY, Message, Outgoing, Received, fill
from mini_kernel.net.socket import RECEIVE, SEND
from mini_kernel.net.unix import UnixSocket, joined
from mini_kernel.uapi.errno import EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, EPIPE
from mini_kernel.uapi.socket import MSG_OOB, MSG_PEEK, SO_PASSCRED, SOL_SOCKET

_LARGEST = 65536  # bytes in one message


class UnixStream(UnixSocket):
    """A SOCK_STREAM socket."""

    __slots__ = ()

    @property
    def is_stream(self) -> bool:
        return True

    def may_receive(self, n: int, flags: int) -> int:
        if self.peer is None or flags & MSG_OOB:
            raise SysError(EINVAL)
        if not self.messages:
            self.check_error()
            if self.closed & RECEIVE:
                return 0
            self.pause(flags, self.receive_timeout)
        have = 0
        for message in self.messages:
            if have >= n or not self._joins(message):
                break
            have += len(message)
            if message.rights:
                break
        return min(have, n)

    def _joins(self, message: Message) -> bool:
        """True if a message may be received together with the first."""
        return not self.option(SOL_SOCKET, SO_PASSCRED) or message.credentials == self.messages[0].credentials

    def receive(self, views: Views, flags: int) -> Received:
        wanted, taken = sum(map(len, views)), not flags & MSG_PEEK
        out = Received(0, 0)
        if not self.messages:
            return out
        parts: list[memoryview] = []
        first = self.messages[0].credentials
        joins_all = not self.option(SOL_SOCKET, SO_PASSCRED)
        for message in list(self.messages):
            if out.n >= wanted or not (joins_all or message.credentials == first):
                break
            n = min(len(message), wanted - out.n)
            parts.append(memoryview(message.data)[message.start : message.start + n])
            out.n += n
            out.credentials = message.credentials or NOBODY
            out.source = message.source
            out.rights = self.copy_of(message, taken)
            if taken:
                message.start += n
                if not len(message):
                    self.messages.popleft()
                    self.finished(message)
            if out.rights:
                break
        fill(views, parts[0] if len(parts) == 1 else b"".join(parts))
        out.length = out.n
        return out

    def may_send(self, n: int, out: Outgoing) -> int:
        """Urgent data (MSG_OOB) is not kept apart here, and so refused."""
        if out.flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if out.address:
            raise SysError(EISCONN if self.peer is not None else EOPNOTSUPP)
        if self.peer is None:
            raise SysError(ENOTCONN)
        if self.closed & SEND:
            raise SysError(EPIPE)
        self.check_error()
        self.require_room(out.flags)
        return min(n, _LARGEST, max(self.send_buffer >> 1, 64) - 64 or 64)

    def send(self, views: Views, out: Outgoing) -> int:
        assert self.peer is not None
        data = joined(views)
        self.post(self.peer, data, out)
        return len(data)

    def unread(self) -> int:
        if self.listening():
            raise SysError(EINVAL)
        return sum(map(len, self.messages))
