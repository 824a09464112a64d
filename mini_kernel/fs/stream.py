"""What the embedding provides as standard input, output and error.

A HostStream is a *handle*, like RAM and CPU: it holds no kernel state and is left out of snapshots.
"""

import contextlib
import os
import select
import termios
from time import perf_counter_ns
from typing import Any, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.uapi.errno import EINTR, EIO

#: What makes a terminal do more than pass keys on; what it does to output (the guest's flags are the host's).
_RAW_INPUT: Final = (
    termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL
    | termios.IXON
)  # fmt: skip
_RAW_LOCAL: Final = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
_OUTPUT: Final = termios.OPOST | termios.ONLCR | termios.OCRNL | termios.ONOCR | termios.ONLRET


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
        """End a wait, or the next one that would, with SysError(EINTR). From any thread or handler."""
        ...

    # -- of a terminal ------------------------------------------------------------------------------

    def take_over(self, output_flags: int) -> None:
        """Keys come as they are pressed, and are not shown; output is processed by these flags (termios c_oflag)."""
        ...

    def wait(self, timeout_ns: int | None) -> int:
        """Return once `read` would return at once, or after a time, or when woken; how long that took, in ns.

        Raises SysError(EINTR).
        """
        ...


class FdStream:
    """A file descriptor of the host, by number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._cancelled = False
        self._wake: tuple[int, int] | None = None  # a pipe that ends a wait, made by the first one
        self._settings: list[Any] | None = None  # of the terminal, before it was taken over
        self._settings_now: list[Any] = []  # and since

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
            while not self.ready() and not self._wait(None):
                pass
            return os.read(self.fd, n)
        except OSError as error:
            raise SysError(error.errno or EIO) from None

    def wait(self, timeout_ns: int | None) -> int:
        began = perf_counter_ns()
        self._wait(timeout_ns)
        return perf_counter_ns() - began

    def _wait(self, timeout_ns: int | None) -> bool:
        """Wait for input: not in read(2), which Python goes back to after a signal. False: it is not there yet.

        Raises SysError(EINTR).
        """
        if self._wake is None:
            self._wake = os.pipe()
            for fd in self._wake:
                os.set_blocking(fd, False)
        wake = self._wake[0]
        poll = select.poll()
        for fd in (self.fd, wake):
            poll.register(fd, select.POLLIN)
        ready = () if self._cancelled else poll.poll(None if timeout_ns is None else timeout_ns / 1e6)
        if not self._cancelled and all(fd != wake for fd, _event in ready):
            return bool(ready)
        with contextlib.suppress(BlockingIOError):  # cancelled before there was a pipe
            os.read(wake, 4096)
        if self._cancelled:
            self._cancelled = False
            raise SysError(EINTR)
        return False

    def cancel(self) -> None:
        self._cancelled = True
        self.wake()

    def wake(self) -> None:
        """End a wait early. From any thread or handler."""
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # full: it will wake all right
                os.write(self._wake[1], b"\0")

    def take_over(self, output_flags: int) -> None:
        """Raw input. Does nothing if the terminal is gone."""
        with contextlib.suppress(termios.error):
            settings = termios.tcgetattr(self.fd)
            if self._settings is None:
                self._settings = termios.tcgetattr(self.fd)
            settings[0] &= ~_RAW_INPUT
            settings[1] = settings[1] & ~_OUTPUT | output_flags & _OUTPUT
            settings[3] &= ~_RAW_LOCAL
            settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
            self._settings_now = settings
            termios.tcsetattr(self.fd, termios.TCSADRAIN, settings)

    def give_back(self) -> None:
        """Undo `take_over`. From any handler."""
        if self._settings is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self._settings)

    def take_again(self) -> None:
        """Undo `give_back`, when the process goes on after it was stopped."""
        if self._settings is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self._settings_now)

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

    def take_over(self, output_flags: int) -> None:
        pass

    def wait(self, timeout_ns: int | None) -> int:
        return 0
