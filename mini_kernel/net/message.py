"""What travels between sockets, and what one call sends or receives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel.fs.file import File

if TYPE_CHECKING:
    from mini_kernel.net.socket import Socket

_OVERHEAD: Final = 256  # struct sk_buff
_SHARED: Final = 320  # struct skb_shared_info, behind the data
_PAGED: Final = 16384  # longer data is held in whole pages


class Credentials(NamedTuple):
    """struct ucred."""

    pid: int
    uid: int
    gid: int


NOBODY: Final = Credentials(0, 65534, 65534)  # who sent, where it was not noted


def charge(n: int) -> int:
    """What `n` bytes in one message take of a socket's buffer (Linux skb->truesize)."""
    if n + _SHARED > _PAGED:
        return _OVERHEAD + 512 + (n + 4095 & ~4095)
    return _OVERHEAD + max(512, 1 << (n + _SHARED - 1).bit_length())


class Message:
    """Bytes in a receive queue, with what came along. `start`: how many of them are gone."""

    __slots__ = ("charge", "credentials", "data", "rights", "sender", "source", "start")

    def __init__(
        self, data: bytes, source: bytes, sender: "Socket | None", credentials: Credentials | None, rights: list[File]
    ) -> None:
        self.data = data
        self.start = 0
        self.source = source  # struct sockaddr of the sender, b"" without a name
        self.sender = sender  # whose send buffer it takes room in
        self.credentials = credentials
        self.rights = rights
        self.charge = charge(len(data))

    def __len__(self) -> int:
        return len(self.data) - self.start


@dataclass(slots=True)
class Outgoing:
    """How something is sent. `rights`: files that travel along, no references of their own."""

    flags: int = 0
    address: bytes = b""
    credentials: Credentials | None = None
    rights: list[File] = field(default_factory=list[File])


@dataclass(slots=True)
class Received:
    """What came: `n` bytes were stored, of `length` that the datagram had; `rights` are references of the taker."""

    n: int
    length: int
    flags: int = 0
    source: bytes = b""
    credentials: Credentials | None = None
    rights: list[File] = field(default_factory=list[File])


def fill(views: Sequence[memoryview], data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Copy `data` from `start` on into `views`; the number of bytes, which is that of the shorter."""
    at, end = start, len(data)
    for view in views:
        n = min(len(view), end - at)
        view[:n] = data[at : at + n]
        at += n
        if at == end:
            break
    return at - start
