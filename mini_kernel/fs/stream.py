"""What the embedding provides as standard input, output and error.

A HostStream is a *handle*, like RAM and CPU: it holds no kernel state and is left out of snapshots.
"""

import os
import select
from typing import Protocol

from mini_kernel.errors import SysError
from mini_kernel.uapi.errno import EIO


class HostStream(Protocol):
    """One of the outside world's byte streams."""

    def isatty(self) -> bool:
        """True if a person sits at the other end."""
        ...

    def window(self) -> tuple[int, int]:
        """(rows, columns) of the terminal."""
        ...

    def ready(self) -> bool:
        """True if `read` would return at once."""
        ...

    def read(self, n: int) -> bytes:
        """Up to `n` bytes, at least one, waiting for it; b"" at the end. Raises SysError."""
        ...

    def write(self, data: bytes) -> None:
        """Take all of `data`. Raises SysError, EPIPE if nobody reads."""
        ...


class FdStream:
    """A file descriptor of the host, by number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def isatty(self) -> bool:
        return os.isatty(self.fd)

    def window(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self.fd)
        except OSError:
            return 24, 80
        return rows, columns

    def ready(self) -> bool:
        return bool(select.select([self.fd], [], [], 0)[0])

    def read(self, n: int) -> bytes:
        try:
            return os.read(self.fd, n)
        except OSError as error:
            raise SysError(error.errno or EIO) from None

    def write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            raise SysError(error.errno or EIO) from None


class BytesStream:
    """Input given up front and output kept in memory: for tests and for runs whose output is a result."""

    def __init__(self, data: bytes = b"", tty: bool = False) -> None:
        self.data = data
        self.written = bytearray()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def window(self) -> tuple[int, int]:
        return 24, 80

    def ready(self) -> bool:
        return True

    def read(self, n: int) -> bytes:
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def write(self, data: bytes) -> None:
        self.written += data
