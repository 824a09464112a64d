"""The host's terminal while a guest has it: given back however the run ends, and when this process is stopped."""

import os
import signal
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from mini_kernel.fs.stream import FdStream

_DEADLY: Final = (signal.SIGTERM, signal.SIGHUP)


class TerminalGuard:
    """While it is entered, signals that end or stop this process give the terminal back first (SIGKILL cannot).

    A new window size is passed on at once. Does nothing where no stream is a terminal.
    """

    def __init__(self) -> None:
        self.streams: tuple[FdStream, ...] = ()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.streams = tuple(stream for stream in self.streams if stream.isatty())
        if self.streams:
            for signo in _DEADLY:
                self._set(signo, self._die)
            self._set(signal.SIGTSTP, self._stop)
            self._set(signal.SIGCONT, self._go_on)
            self._set(signal.SIGWINCH, self._window)
        return self

    def _set(self, signo: int, handler: Any) -> None:
        before = signal.signal(signo, handler)
        self._before.setdefault(signo, before)

    def __exit__(self, *_exc: object) -> None:
        self._give_back()
        for signo, before in self._before.items():
            signal.signal(signo, before)
        self._before.clear()

    def _give_back(self) -> None:
        for stream in self.streams:
            stream.give_back()

    def _die(self, signo: int, _frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(signo, signal.SIG_DFL)
        os.kill(os.getpid(), signo)

    def _stop(self, signo: int, _frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(signo, signal.SIG_DFL)
        os.kill(os.getpid(), signo)  # returns when somebody sends SIGCONT
        signal.signal(signo, self._stop)

    def _go_on(self, _signo: int, _frame: FrameType | None) -> None:
        for stream in self.streams:
            stream.take_again()

    def _window(self, _signo: int, _frame: FrameType | None) -> None:
        for stream in self.streams:
            stream.wake()
