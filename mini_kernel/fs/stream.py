"""What the embedding provides as standard input, output and error.

A HostStream is a *handle*, like RAM and CPU: it holds no kernel state and is left out of snapshots.
"""

import contextlib
import os
import select
from typing import Protocol

from mini_kernel.errors import SysError
from mini_kernel.uapi.errno import EINTR, EIO


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

    def cancel(self) -> None:
        """End a `read` that waits, or the next one that would, with SysError(EINTR). From any thread or handler."""
        ...


class FdStream:
    """A file descriptor of the host, by number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._cancelled = False
        self._wake: tuple[int, int] | None = None  # a pipe that ends a wait, made by the first one

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
            self._wait()
            return os.read(self.fd, n)
        except OSError as error:
            raise SysError(error.errno or EIO) from None

    def _wait(self) -> None:
        """Wait for input: not in read(2), which Python goes back to after a signal. Raises SysError(EINTR)."""
        if self._wake is None:
            self._wake = os.pipe()
            os.set_blocking(self._wake[0], False)
        wake = self._wake[0]
        poll = select.poll()
        for fd in (self.fd, wake):
            poll.register(fd, select.POLLIN)
        if not self._cancelled and all(fd != wake for fd, _event in poll.poll()):
            return
        self._cancelled = False
        with contextlib.suppress(BlockingIOError):  # cancelled before there was a pipe
            os.read(wake, 4096)
        raise SysError(EINTR)

    def cancel(self) -> None:
        self._cancelled = True
        if self._wake is not None:
            os.write(self._wake[1], b"\0")

    def __del__(self) -> None:
        for fd in self._wake or ():
            os.close(fd)

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

    def cancel(self) -> None:
        pass  # never waits
