"""Watchpoints: from virtual to physical, again after every kernel entry, and who changed what.

User code is watched by the machine, which sees physical addresses. So a virtual range is looked up in the page tables
of its process whenever the kernel may have changed them: it stays watched over copy-on-write, table breaks, mremap and
swapped-in pages. Kernel code is watched by comparing the bytes before and after each entry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from emu.debug.points import EntryWatch, FrameWatch, Point, Watchpoint
from emu.machine import Access, DebugMachine, Range
from mini_kernel.kernel import Kernel
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Step, is_leaf
from mini_kernel.x86 import PAGE_SIZE, PMD_SIZE, PTE_ADDR, PTE_P, PUD_SIZE, TASK_SIZE

_WIDEST: Final = 15  # bytes that one access can lie before the end of a page and reach over it
Piece = tuple[int, int]  # physical start, length


def physical(mm: Mm, address: int) -> int | None:
    """Where a virtual address leads by the tables alone, rights aside."""
    steps = mm.pt.walk(address) if address < TASK_SIZE else []
    if not steps or not is_leaf(steps[-1]) or not steps[-1].entry & PTE_P:
        return None
    size = (PUD_SIZE, PMD_SIZE, PAGE_SIZE)[steps[-1].level - 1]
    return (steps[-1].entry & PTE_ADDR & -size) | (address & (size - 1))


@dataclass
class _Target:
    """One watched range in one address space, or in RAM."""

    point: Watchpoint
    tgid: int  # 0: physical
    pieces: tuple[Piece, ...]
    value: bytes | None  # None: not all of it is there
    before: tuple[Piece, ...] = ()  # where accesses may reach over from, see _edges

    def is_touched(self, access: Access) -> bool:
        """True if the access is to the range, or begins in the page before and reaches into it."""
        end = access.physical + access.size
        if any(access.physical < at + n and at < end for at, n in self.pieces):
            return True
        return any(access.physical < edge < end - gap for edge, gap in self.before)


class Hit(NamedTuple):
    """A watched range was touched. `where` is the instruction; by the kernel: None."""

    point: Watchpoint
    access: str
    old: bytes
    new: bytes
    where: int | None


class EntryHit(NamedTuple):
    """Entries on the way to a watched address changed."""

    point: EntryWatch
    old: tuple[Step, ...]
    new: tuple[Step, ...]


class Watches:
    """What the watchpoints of a debugger come to now."""

    def __init__(self, kernel: Kernel, machine: DebugMachine) -> None:
        self._kernel = kernel
        self._machine = machine
        self._points: list[Watchpoint] = []
        self._entry_points: list[EntryWatch] = []
        self._frames: list[tuple[FrameWatch, int]] = []
        self.walks = False
        self._targets: list[_Target] = []
        self._entries: list[tuple[EntryWatch, int, tuple[Step, ...]]] = []
        self.any = False

    def reset(self, points: Sequence[Point]) -> None:
        """Look at these points from now on: what is there now is nobody's doing."""
        if not points and not self.any:
            return
        enabled = [p for p in points if p.enabled]
        self._points = [p for p in enabled if isinstance(p, Watchpoint)]
        self._entry_points = [p for p in enabled if isinstance(p, EntryWatch)]
        counts = self._kernel.frames.counts
        self._frames = [(p, counts[p.pfn]) for p in enabled if isinstance(p, FrameWatch)]
        self.any = bool(self._points or self._entry_points or self._frames)
        self.walks = bool(self._entry_points)
        self._targets = self._find()
        self._entries = self._walks()
        self._tell()

    def refresh(self) -> None:
        """The same points, in the same places: what is there now is nobody's doing."""
        for target in self._targets:
            target.value = self._read(target.pieces, target.point.length)
        if self._frames:
            self.frames()
        if self.walks:
            self._entries = self._walks()

    def frames(self) -> list[tuple[FrameWatch, int, int]]:
        """Which watched frames have other references now: (point, old, new)."""
        before, counts = self._frames, self._kernel.frames.counts
        self._frames = [(point, counts[point.pfn]) for point, _old in before]
        return [(p, old, new) for (p, old), (_p, new) in zip(before, self._frames, strict=True) if old != new]

    def _mms(self, tgid: int | None) -> dict[int, Mm]:
        found: dict[int, Mm] = {}
        for task in self._kernel.tasks.values():
            if task.user_mm is not None and tgid in (None, task.tgid):
                found[task.tgid] = task.user_mm
        return found

    def _find(self) -> list[_Target]:
        targets: list[_Target] = []
        for point in self._points:
            if point.physical:
                pieces = ((point.address, point.length),)
                targets.append(_Target(point, 0, pieces, self._read(pieces, point.length)))
                continue
            for tgid, mm in self._mms(point.tgid).items():
                pieces = tuple(_pieces(mm, point.address, point.length))
                value = self._read(pieces, point.length)
                targets.append(_Target(point, tgid, pieces, value, tuple(_edges(mm, point.address, point.length))))
        return targets

    def _read(self, pieces: tuple[Piece, ...], length: int) -> bytes | None:
        data = b"".join(bytes(self._kernel.ram.data[at : at + n]) for at, n in pieces)
        return data if len(data) == length else None

    def _walks(self) -> list[tuple[EntryWatch, int, tuple[Step, ...]]]:
        return [
            (point, tgid, tuple(mm.pt.walk(point.address)))
            for point in self._entry_points
            for tgid, mm in self._mms(point.tgid).items()
        ]

    def _tell(self) -> None:
        """What the machine is to look at: loads for points that want them, else stores."""
        ranges = {
            Range(at, at + n, t.point.kind in ("read", "access"), t.point.kind != "read")
            for t in self._targets
            for at, n in (*t.pieces, *((edge - _WIDEST, _WIDEST) for edge, _gap in t.before))
        }
        self._machine.watch(tuple(ranges))

    # -- hits ---------------------------------------------------------------------------------------

    def by_kernel(self) -> list[Hit]:
        """After a kernel entry: whose bytes are others now. Looks addresses up anew."""
        before = {(id(t.point), t.tgid): t.value for t in self._targets}
        pieces = [(t.pieces, t.before) for t in self._targets]
        self._targets = self._find()
        if [(t.pieces, t.before) for t in self._targets] != pieces:
            self._tell()
        hits: list[Hit] = []
        for t in self._targets:
            old = before.get((id(t.point), t.tgid))
            if old is not None and t.value is not None and old != t.value and t.point.kind != "read":
                hits.append(Hit(t.point, "write", old, t.value, None))
        return hits

    def by_user(self, accesses: list[Access]) -> list[Hit]:
        """Behind an instruction that made these accesses."""
        hits: list[Hit] = []
        for t in self._targets:
            touching = [a for a in accesses if t.is_touched(a)]
            if not touching:
                continue
            old, t.value = t.value, self._read(t.pieces, t.point.length)
            wanted = [a for a in touching if a.kind == "write" or t.point.kind in ("read", "access")]
            wanted = [a for a in wanted if a.kind == "read" or t.point.kind != "read"]
            if t.point.kind == "change" and old == t.value:
                continue
            if wanted:
                hits.append(Hit(t.point, wanted[-1].kind, old or b"", t.value or b"", wanted[-1].rip))
        return hits

    def entries(self) -> list[EntryHit]:
        """Which walks are others now."""
        before = {(id(point), tgid): walk for point, tgid, walk in self._entries}
        self._entries = self._walks()
        return [
            EntryHit(point, old, walk)
            for point, tgid, walk in self._entries
            if (old := before.get((id(point), tgid), walk)) != walk
        ]


def _edges(mm: Mm, address: int, length: int) -> Iterator[Piece]:
    """(physical end, bytes from there to the range) of pages before the range from which an access can reach over."""
    for start in (address, *range((address & -PAGE_SIZE) + PAGE_SIZE, address + length, PAGE_SIZE)):
        gap = start & (PAGE_SIZE - 1)
        last = physical(mm, start - gap - 1) if gap < _WIDEST and start >= PAGE_SIZE else None
        if last is not None:
            yield last + 1, gap


def _pieces(mm: Mm, address: int, length: int) -> list[Piece]:
    """Where [address, address + length) is in RAM, page by page; pages that are not present are left out."""
    found: list[Piece] = []
    while length > 0:
        n = min(length, PAGE_SIZE - (address & (PAGE_SIZE - 1)))
        at = physical(mm, address)
        if at is not None:
            found.append((at, n))
        address, length = address + n, length - n
    return found
