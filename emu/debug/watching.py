"""Watchpoints: from virtual to physical, again after every kernel entry, and who changed what.

User code is watched by the machine, which sees physical addresses. So a virtual range is looked up in the page tables
of its process whenever the kernel may have changed them: it stays watched over copy-on-write, table breaks, mremap and
swapped-in pages. An access that reaches over into another page is seen with its first byte only: where the rest went is
looked up in the tables of the task that made it.

Kernel code tells what it reads and stores of user memory while it is watched (mm/uaccess.py). What changes in another
way, as when a page is dropped or a file written that is mapped, is found by comparing the bytes around each entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from emu.debug.paging import pages_of
from emu.debug.points import EntryWatch, FrameWatch, Point, Watchpoint
from emu.machine import Access, AccessKind, DebugMachine, Range
from emu.peek import peek
from mini_kernel.kernel import Kernel
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Step, is_leaf
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PTE_ADDR, PTE_P, PUD_SIZE, TASK_SIZE

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
    pgd: int  # of the address space; -1: physical
    pieces: tuple[Piece, ...]
    value: bytes | None  # as a load would find it; None: it would fault

    @property
    def key(self) -> tuple[int, int]:
        """The same for the same range at different moments."""
        return id(self.point), self.tgid

    def touches(self, start: int, end: int) -> bool:
        """True if it has bytes of RAM in [start, end)."""
        return any(start < at + n and at < end for at, n in self.pieces)

    def wants(self, access: AccessKind) -> bool:
        """True if it waits for such accesses; for changes, if they may be one."""
        return self.point.kind in (("read", "access") if access == "read" else ("write", "access", "change"))

    @property
    def begins_page(self) -> bool:
        """True if an access that begins in another page can reach it."""
        return any((at & PAGE_SIZE - 1) < _WIDEST or (at ^ at + n - 1) >> PAGE_SHIFT for at, n in self.pieces)


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
        self.memory = False  # any memory is watched, and the kernel asked to tell what it does there
        self._targets: list[_Target] = []
        self._touched: dict[tuple[int, int], AccessKind] = {}  # by the kernel, in this entry: the last access wanted
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
        self._listen(bool(self._points))
        self.walks = bool(self._entry_points)
        self._targets = self._find()
        self._entries = self._walks()
        self._tell()

    def _listen(self, wanted: bool) -> None:
        self._touched.clear()
        if wanted != self.memory:
            self.memory = wanted
            uaccess.tell_accesses(wanted)

    def refresh(self) -> None:
        """The same points, in the same places: what is there now is nobody's doing."""
        self._touched.clear()
        for target in self._targets:
            target.value = self._read(target.pieces, target.point.length) or target.value
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
                targets.append(_Target(point, 0, -1, pieces, self._read(pieces, point.length)))
                continue
            for tgid, mm in self._mms(point.tgid).items():
                pieces = tuple(_pieces(mm, point.address, point.length))
                value = self._read(pieces, point.length)
                if value is None:
                    value = _missing(mm, point.address, point.length)
                targets.append(_Target(point, tgid, mm.pt.pgd, pieces, value))
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
        ranges = {Range(at, at + n, t.wants("read"), t.wants("write")) for t in self._targets for at, n in t.pieces}
        self._machine.watch(tuple(ranges), any(t.begins_page for t in self._targets))

    # -- hits ---------------------------------------------------------------------------------------

    def accessed(self, pgd: int, address: int, physical: int, n: int, write: bool) -> None:
        """As MemoryListener.user_access: by its address in the same address space, in others by what they share."""
        access: AccessKind = "write" if write else "read"
        for t in self._targets:
            point = t.point
            here = t.pgd == pgd and address < point.address + point.length and point.address < address + n
            if t.wants(access) and (here or t.touches(physical, physical + n)):
                self._touched[t.key] = access

    def by_kernel(self) -> list[Hit]:
        """After a kernel entry: what it touched, and whose bytes are others now. Looks addresses up anew."""
        before, touched = self._targets, self._touched
        self._touched = {}
        self._targets = self._find()
        now = {t.key: t for t in self._targets}
        if [(t.key, t.pieces) for t in self._targets] != [(t.key, t.pieces) for t in before]:
            self._tell()
        found = (self._kernel_hit(t, now.get(t.key), touched.get(t.key)) for t in before)
        return [hit for hit in found if hit is not None]

    @staticmethod
    def _kernel_hit(before: _Target, now: _Target | None, access: AccessKind | None) -> Hit | None:
        old, new = before.value, now.value if now is not None else None
        if old is not None and new is not None and old != new and before.wants("write"):
            return Hit(before.point, "write", old, new, None)
        if access is None or before.point.kind == "change":
            return None
        if access == "read":
            old = new = old if old is not None else new
        return Hit(before.point, access, old or b"", new or b"", None)

    def by_user(self, accesses: list[Access], mm: Mm | None) -> list[Hit]:
        """Behind an instruction that made these accesses in this address space."""
        reached = [(a, _reached(mm, a)) for a in accesses]
        hits: list[Hit] = []
        for t in self._targets:
            touching = [a for a, parts in reached if any(t.touches(start, end) for start, end in parts)]
            if not touching:
                continue
            old, t.value = t.value, self._read(t.pieces, t.point.length)
            wanted = [a for a in touching if t.wants(a.kind)]
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


def _reached(mm: Mm | None, access: Access) -> list[tuple[int, int]]:
    """The RAM that an access is to, as ranges: of one that ends in another page, every place where its end may be.

    There are several only if the process has the first page mapped twice.
    """
    start, end = access.physical, access.physical + access.size
    edge = (start | PAGE_SIZE - 1) + 1
    if end <= edge or mm is None:
        return [(start, end)]
    behind = {physical(mm, page + PAGE_SIZE) for page in pages_of(mm, start >> PAGE_SHIFT)}
    return [(start, edge), *((at, at + end - edge) for at in behind if at is not None)]


def _missing(mm: Mm, address: int, length: int) -> bytes | None:
    """What a first access would find in pages that are not there yet; None if it would fault for good."""
    data = peek(mm, address, length)
    return data if len(data) == length else None


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
