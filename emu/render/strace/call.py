"""One system call while it is being printed, and the registry of argument renderers."""

from collections.abc import Callable
from typing import Final, NamedTuple

from emu.peek import peek
from mini_kernel.task import Task
from mini_kernel.uapi import syscall_names

STRING_LIMIT: Final = 32  # characters of a buffer that are shown, strace's -s
_PATH_LIMIT: Final = 4096
_ESCAPES: Final = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


class Call:
    """A system call of a task. `result` is None until it has returned (and for ever if it never does)."""

    def __init__(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        self.task = task
        self.number = number
        self.name = syscall_names.get(number) or f"syscall_{number:#x}"
        self.arguments = arguments
        self.result: int | None = None
        self._mm = task.user_mm

    def arg(self, i: int) -> int:
        """Argument `i`, 0 if the call was not given that many."""
        return self.arguments[i] if i < len(self.arguments) else 0

    @property
    def failed(self) -> bool:
        """True if nothing was written to output arguments."""
        return self.result is None or self.result < 0

    def peek(self, address: int, n: int) -> bytes:
        """Up to `n` bytes of the caller's memory; never faults."""
        mm = self.task.user_mm or self._mm
        return peek(mm, address, n) if mm is not None and mm.users else b""

    def whole(self, address: int, n: int) -> bytes | None:
        """Exactly `n` bytes, or None where that many cannot be read."""
        data = self.peek(address, n) if address else b""
        return data if len(data) == n else None

    def string(self, address: int) -> bytes | None:
        """A zero-terminated string of at most _PATH_LIMIT bytes, None where there is none."""
        out = b""
        while len(out) < _PATH_LIMIT:
            piece = self.peek(address + len(out), min(256 - (address + len(out)) % 256, _PATH_LIMIT - len(out)))
            end = piece.find(0)
            if end >= 0:
                return out + piece[:end]
            if not piece:
                return None
            out += piece
        return out


#: A renderer's text for argument `i`; None leaves the argument out.
Show = Callable[[Call, int], str | None]


class Renderer(NamedTuple):
    """How one kind of argument is printed."""

    show: Show
    late: bool  # known only when the call has returned
    free: bool  # prints something even where the call has no argument of this index


RENDERERS: Final[dict[str, Renderer]] = {}


def shows(kind: str, late: bool = False, free: bool = False) -> Callable[[Show], Show]:
    """Register the decorated function as the renderer of `kind` in the signature table."""

    def register(show: Show) -> Show:
        assert kind not in RENDERERS, kind
        RENDERERS[kind] = Renderer(show, late, free)
        return show

    return register


def pointer(value: int) -> str:
    """NULL or hexadecimal."""
    return f"{value:#x}" if value else "NULL"


def hexadecimal(value: int) -> str:
    """0 or hexadecimal, as strace prints numbers that it does not know."""
    return f"{value:#x}" if value else "0"


def quote(data: bytes, limit: int | None = STRING_LIMIT, more: bool = False) -> str:
    """A C string literal of at most `limit` bytes; `...` behind it if there is more."""
    shown = data if limit is None else data[:limit]
    parts: list[str] = []
    for i, byte in enumerate(shown):
        if byte in _ESCAPES:
            parts.append(_ESCAPES[byte])
        elif 32 <= byte < 127:
            parts.append(chr(byte))
        else:
            digit_follows = i + 1 < len(shown) and 48 <= shown[i + 1] < 56
            parts.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return f'"{"".join(parts)}"' + ("..." if more or len(shown) < len(data) else "")
