"""The outside world on tape: what the guest was given is given again, and what it wrote is not written twice.

Replay runs the same instructions again, so the same calls reach the standard streams in the same order.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from mini_kernel.errors import SysError
from mini_kernel.fs.stream import HostStream
from mini_kernel.uapi.errno import EINTR


class Spot(NamedTuple):
    """How far a stream had come."""

    answers: int
    written: int


class Failure(NamedTuple):
    """The answer was a SysError."""

    errno: int


Answer = bytes | bool | int | tuple[int, int] | Failure
R = TypeVar("R", bytes, bool, int, tuple[int, int])


class Tape:
    """A HostStream in front of another one. The answers to questions are kept; bytes written are counted."""

    def __init__(self, inner: HostStream, answers: Sequence[Answer] = ()) -> None:
        """`answers` are those of a recording; questions behind their end go to `inner`."""
        self.inner = inner
        self.cancelled = False  # a read was ended by `cancel`, and the guest must not see it
        self.answers: list[Answer] = list(answers)
        self._next = 0  # answer to give
        self._at = 0  # bytes written by the guest as it is now
        self._passed_on = 0  # of these, so many went to `inner`

    # -- what the guest does ------------------------------------------------------------------------

    def isatty(self) -> bool:
        return self._answer(self.inner.isatty)

    def window(self) -> tuple[int, int]:
        return self._answer(self.inner.window)

    def ready(self) -> bool:
        return self._answer(self.inner.ready)

    def read(self, n: int) -> bytes:
        return self._answer(lambda: self.inner.read(n))

    def _answer(self, ask: Callable[[], R]) -> R:
        if self._next == len(self.answers):
            try:
                self.answers.append(ask())
            except SysError as error:
                if error.errno == EINTR:
                    self.cancelled = True
                    raise
                self.answers.append(Failure(error.errno))
        answer = self.answers[self._next]
        self._next += 1
        if isinstance(answer, Failure):
            raise SysError(answer.errno)
        return answer  # pyright: ignore[reportReturnType]  # what the same question got when it was asked first

    def write(self, data: bytes) -> None:
        again = min(len(data), self._passed_on - self._at)
        if again < len(data):
            self.inner.write(data[again:])
            self._passed_on = self._at + len(data)
        self._at += len(data)

    def take_over(self, output_flags: int) -> None:
        self.inner.take_over(output_flags)

    def wait(self, timeout_ns: int | None) -> int:
        return self._answer(lambda: self.inner.wait(timeout_ns))

    def cancel(self) -> None:
        self.inner.cancel()

    # -- what the debugger does ---------------------------------------------------------------------

    def spot(self) -> Spot:
        """Where it is."""
        return Spot(self._next, self._at)

    def rewind(self, spot: Spot) -> None:
        """Go back there, or forward again."""
        self._next, self._at = spot

    def branch(self) -> None:
        """The future will be another one: what it writes is new. What the guest was given stays to be given."""
        self._passed_on = self._at
