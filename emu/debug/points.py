"""Breakpoints, watchpoints and catchpoints: what to stop for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from emu.debug.events import Event, detail

if TYPE_CHECKING:
    from emu.debug.runner import Runner

#: Decides at the stop, with the system as it is there.
Condition = Callable[["Runner"], bool]
WatchKind = Literal["write", "read", "access", "change"]
_COUNTS: Final = frozenset(("hits", "ignore"))


@dataclass(eq=False)
class Point:
    """One of them.

    tgid         only for this process; None: for all
    condition    stop only if it holds
    ignore       pass this often before stopping
    temporary    gone after the first stop
    hits         how often it was reached with its condition true
    """

    number: int = 0
    tgid: int | None = None
    condition: Condition | None = None
    condition_text: str = ""
    ignore: int = 0
    temporary: bool = False
    enabled: bool = True
    hits: int = 0

    def __setattr__(self, name: str, value: object) -> None:
        """Changes of all but the counts are noticed by the Points that it is one of."""
        object.__setattr__(self, name, value)
        if name not in _COUNTS:
            points: Points | None = self.__dict__.get("_points")
            if points is not None:
                points.version += 1

    def belong(self, points: "Points | None") -> None:
        """To be one of these."""
        self.__dict__["_points"] = points


@dataclass(eq=False)
class Breakpoint(Point):
    """Before the instruction at `address`, which was given as `text`."""

    address: int = 0
    text: str = ""


@dataclass(eq=False)
class Watchpoint(Point):
    """Memory [address, address + length), virtual (in process `tgid`, or every one) or physical.

    "write" is any store, "change" one that leaves other bytes; by user code, or by the kernel for calls and signals.
    """

    address: int = 0
    length: int = 8
    kind: WatchKind = "write"
    physical: bool = False
    text: str = ""


@dataclass(eq=False)
class EntryWatch(Point):
    """The paging-structure entries that translate `address` in process `tgid`."""

    address: int = 0
    text: str = ""


@dataclass(eq=False)
class FrameWatch(Point):
    """The references of a physical frame: who takes it, shares it, gives it back."""

    pfn: int = 0
    text: str = ""


@dataclass(eq=False)
class Catchpoint(Point):
    """Events of one kind; with `only`, those about one of these system calls, signals, fault classes, fork kinds.

    `before`: system calls, faults and signals are stopped before the kernel does anything about them.
    """

    kind: type[Event] = Event
    only: frozenset[int | str] = frozenset()
    before: bool = False
    text: str = ""

    def wants(self, event: Event) -> bool:
        """True if this is what it waits for (condition aside)."""
        return (
            self.enabled
            and not self.before
            and isinstance(event, self.kind)
            and (self.tgid is None or self.tgid == event.tgid)
            and (not self.only or detail(event) in self.only)
        )


P = TypeVar("P", bound=Point)


class Points:
    """All of them by number. Numbers count from 1 and are not used twice.

    version    another one after every change of what they are, by whatever way
    """

    def __init__(self) -> None:
        self._all: dict[int, Point] = {}
        self._last = 0
        self.version = 0

    def add(self, point: P) -> P:
        """Give it a number; None is changed about it but that."""
        self._last += 1
        point.number = self._last
        self._all[point.number] = point
        point.belong(self)
        self.version += 1
        return point

    def remove(self, number: int) -> None:
        """Raises KeyError."""
        self._all.pop(number).belong(None)
        self.version += 1

    def get(self, number: int) -> Point:
        """Raises KeyError."""
        return self._all[number]

    def enable(self, number: int, enabled: bool) -> None:
        """Raises KeyError."""
        self._all[number].enabled = enabled

    def __iter__(self) -> Iterator[Point]:
        return iter(list(self._all.values()))

    def active(self, kind: type[P]) -> list[P]:
        """The enabled ones of a kind, in the order of their numbers."""
        return [p for p in self._all.values() if isinstance(p, kind) and p.enabled]
