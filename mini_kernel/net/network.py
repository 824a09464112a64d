"""What the sockets of a system share."""

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from mini_kernel.errors import KernelBug
from mini_kernel.fs.file import File
from mini_kernel.fs.path import Caller
from mini_kernel.fs.superblock import SuperBlock
from mini_kernel.net.rights import Flight, is_unix
from mini_kernel.x86 import PAGE_SHIFT

if TYPE_CHECKING:
    from mini_kernel.clock import Clock
    from mini_kernel.net.inet import InetSocket
    from mini_kernel.net.socket import Socket
    from mini_kernel.net.unix import UnixSocket

SOMAXCONN: Final = 4096
MEMORY_LIMIT: Final = 64 << 20  # bytes in all buffers together, less in a small machine; beyond it ENOBUFS


class Running(Protocol):
    """The scheduler: whose system call this is."""

    @property
    def loaded(self) -> Caller | None:
        """The task whose state is in the CPU."""
        ...


class Network:
    """Names, ports and sockets. `held`: bytes that were sent and not yet received."""

    def __init__(self, sb: SuperBlock, clock: "Clock", running: Running, random: Random) -> None:
        self.sb = sb
        self.clock = clock
        self.running = running
        self.random = random
        self.sockets: dict[int, Socket] = {}  # all there are, by inode number
        self.abstract: dict[bytes, UnixSocket] = {}
        self.ports: dict[tuple[int, int], list[InetSocket]] = {}  # bound ones, by (protocol, port)
        self.flight = Flight()
        self.held = 0
        self.limit = min(MEMORY_LIMIT, sb.frames.total << PAGE_SHIFT >> 3)  # of `held`
        self.next_name = 0  # of autobind

    def carried(self) -> Iterator[File]:
        """Every file that is on its way in a message."""
        for socket in self.sockets.values():
            if is_unix(socket):
                yield from socket.carried()

    @property
    def caller(self) -> Caller:
        """The task whose system call this is."""
        if self.running.loaded is None:
            raise KernelBug("a socket is used by nobody")
        return self.running.loaded
