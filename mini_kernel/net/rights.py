"""Descriptors on their way (SCM_RIGHTS), and sockets that only messages in one another's queues refer to.

Such sockets can never be used again, and nothing would ever close them. Whenever a reference to a socket goes while
some are on their way, `collect` looks for them and throws their queues away (Linux net/unix/garbage.c).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeGuard

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File
from mini_kernel.uapi.errno import ETOOMANYREFS

if TYPE_CHECKING:
    from mini_kernel.net.unix import UnixSocket

SCM_MAX_FD: Final = 253
MAX_IN_FLIGHT: Final = 16384  # files on their way in the whole system


class Flight:
    """Files in queues. `sockets`: AF_UNIX sockets among them, with how many references travel."""

    def __init__(self) -> None:
        self.count = 0
        self.sockets: dict[UnixSocket, int] = {}
        self._collecting = False

    def depart(self, files: Iterable[File]) -> list[File]:
        """References of a message's own. Raises SysError(ETOOMANYREFS)."""
        leaving = list(files)
        if self.count + len(leaving) > MAX_IN_FLIGHT:
            raise SysError(ETOOMANYREFS)
        for file in leaving:
            file.get()
            if is_unix(file):
                self.sockets[file] = self.sockets.get(file, 0) + 1
        self.count += len(leaving)
        return leaving

    def arrive(self, files: list[File]) -> list[File]:
        """The references are the receiver's from now on."""
        for file in files:
            if is_unix(file):
                self.sockets[file] -= 1
                if not self.sockets[file]:
                    del self.sockets[file]
        self.count -= len(files)
        return files

    def discard(self, files: list[File]) -> None:
        """A message is thrown away with what it carried."""
        for file in self.arrive(files):
            file.put()

    def collect(self) -> None:
        """Empty the queues of sockets that can only be reached from one another."""
        if self._collecting or not self.sockets:
            return
        self._collecting = True
        try:
            for socket in self._unreachable():
                socket.purge()
        finally:
            self._collecting = False

    def _unreachable(self) -> list["UnixSocket"]:
        """Sockets all of whose references travel in queues of such sockets."""
        lost = [socket for socket, travelling in self.sockets.items() if socket.refs == travelling]
        while True:
            inside: dict[UnixSocket, int] = dict.fromkeys(lost, 0)
            for socket in lost:
                for file in socket.carried():
                    if is_unix(file) and file in inside:
                        inside[file] += 1
            kept = [socket for socket in lost if inside[socket] == self.sockets[socket]]
            if len(kept) == len(lost):
                return lost
            lost = kept


def is_unix(file: File) -> "TypeGuard[UnixSocket]":
    """True for AF_UNIX sockets."""
    return getattr(file, "carries_rights", False)
