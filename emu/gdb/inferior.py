"""A process as gdb knows it: the points it has set there, and the signal of the last stop."""

from typing import Final

from emu.debug.debugger import Debugger
from emu.debug.points import Breakpoint, Point, WatchKind, Watchpoint
from mini_kernel.task import SigInfo

_WATCHES: Final[dict[int, WatchKind]] = {2: "write", 3: "read", 4: "access"}
_MAX_WATCHED: Final = 4096  # bytes


class Inferior:
    """One attached process."""

    def __init__(self, d: Debugger, tgid: int) -> None:
        self._d = d
        self.tgid = tgid
        self.signal: SigInfo | None = None
        self._points: dict[tuple[int, int, int], Point] = {}  # by the kind, address and length of Z packets

    def insert(self, kind: int, address: int, length: int) -> bool:
        """Z packets: 0 and 1 breakpoints, 2 to 4 watchpoints. False for what is not supported. May be repeated."""
        if kind > 4 or (kind >= 2 and not 0 < length <= _MAX_WATCHED):
            return False
        key = kind, address, length
        if key in self._points:
            return True
        if kind < 2:
            point: Point = Breakpoint(tgid=self.tgid, address=address, text=f"*{address:#x}")
        else:
            point = Watchpoint(tgid=self.tgid, address=address, length=length, kind=_WATCHES[kind])
        self._points[key] = self._d.add(point)
        return True

    def remove(self, kind: int, address: int, length: int) -> None:
        """z packets. May be repeated."""
        point = self._points.pop((kind, address, length), None)
        if point is not None:
            self._d.points.remove(point.number)

    def clear(self) -> None:
        """Remove all."""
        for key in list(self._points):
            self.remove(*key)

    def breaks_at(self, address: int) -> bool:
        """True if there is a breakpoint."""
        return any(kind < 2 and at == address for kind, at, _length in self._points)
