"""What memory should look like: pages with two bytes each, by number, and nothing about areas or tables."""

from typing import Any

from mm_helpers import PAGE

from mini_kernel.mm.mm import MMAP_BASE, Mm
from mini_kernel.mm.vma import VM_ACCESS, VM_EXEC, VM_GROWSDOWN, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, VM_WRITE

#: Page numbers worth a visit: on both sides of a boundary of 1 GiB, and of the next one of 2 MiB.
EDGE = (5 << 30) // PAGE
PLACES = (*range(EDGE - 4, EDGE + 4), *range(EDGE + 508, EDGE + 516))
HEAP = EDGE + 514
GUARD_PAGES = 2  # the tests shorten the stack guard gap to this
TOP = MMAP_BASE // PAGE
LOCK = VM_LOCKED | VM_LOCKONFAULT
RIGHT = {"r": VM_ACCESS, "w": VM_WRITE, "x": VM_EXEC}


class Store:
    """A file or a piece of shared memory: cells by page index."""

    def __init__(self, pages: int) -> None:
        self.size = pages * PAGE
        self.cells: dict[int, list[int]] = {}

    def pages(self) -> int:
        return -(-self.size // PAGE)


class Page:
    """One page of one address space. `private` is None until the space has a copy of its own."""

    __slots__ = ("flags", "heap", "index", "private", "store")

    def __init__(self, flags: int, store: Store | None = None, index: int = 0, heap: bool = False) -> None:
        self.flags, self.store, self.index, self.heap = flags, store, index, heap
        self.private: list[int] | None = None

    def content(self) -> list[int]:
        if self.private is not None:
            return self.private
        return self.store.cells.get(self.index, [0, 0]) if self.store else [0, 0]

    def put(self, cell: int, value: int) -> None:
        if self.flags & VM_SHARED:
            assert self.store is not None
            self.store.cells.setdefault(self.index, [0, 0])[cell] = value
        else:
            assert self.private is not None
            self.private[cell] = value

    def joins(self, after: "Page") -> bool:
        """True if the next page belongs to the same area."""
        alike = (self.flags, self.store, self.heap) == (after.flags, after.store, after.heap)
        return alike and (self.store is None or self.index + 1 == after.index)

    def copy(self) -> "Page":
        new = Page(self.flags, self.store, self.index, self.heap)
        new.private = None if self.private is None else list(self.private)
        return new


class Space:
    """One address space and its model."""

    def __init__(self, mm: Mm) -> None:
        self.mm = mm
        self.pages: dict[int, Page] = {}
        self.brk = HEAP * PAGE
        self.lock_future = 0

    def areas(self) -> list[tuple[int, int, Page]]:
        """(first page, page behind the last, a page) of each area, ascending."""
        out: list[list[Any]] = []
        last: tuple[int, Page] | None = None
        for n in sorted(self.pages):
            page = self.pages[n]
            if last and n == last[0] + 1 and last[1].joins(page):
                out[-1][1] = n + 1
            else:
                out.append([n, n + 1, page])
            last = (n, page)
        return [(a, b, p) for a, b, p in out]

    def area_at(self, n: int) -> tuple[int, int, Page] | None:
        return next((area for area in self.areas() if area[0] <= n < area[1]), None)

    def locked(self) -> int:
        return sum(1 for page in self.pages.values() if page.flags & VM_LOCKED)

    def is_free(self, first: int, last: int) -> bool:
        """True if nothing is mapped in the range and it leaves the area above its guard gap, if that is a stack."""
        above = next((area for area in self.areas() if area[1] > first), None)
        return above is None or last <= self._floor(above)

    def _floor(self, area: tuple[int, int, Page]) -> int:
        return area[0] - GUARD_PAGES if area[2].flags & VM_GROWSDOWN else area[0]

    def highest_gap(self, n: int) -> int:
        top = TOP
        for area in reversed(self.areas()):
            if top - area[1] >= n:
                break
            top = min(TOP, self._floor(area))
        return top - n
