"""What memory should look like: pages with two bytes each, by number, and nothing about areas or tables."""

from typing import Any

from mm_helpers import PAGE

from mini_kernel.mm.mm import MMAP_BASE, Mm
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_SFORK,
    VM_SHARED,
    VM_WRITE,
)

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
    """One page of one address space. `private` is None until the space has a copy of its own.

    The list `private`, or the list of cells in the store, *is* the frame: whoever pins it holds on to that list.
    `piece` tells apart neighbouring areas of one region for sfork, which never merge; `mapped` says whether such a page
    is in the tables. `written` is set since soft-dirty bits were last cleared.
    """

    __slots__ = ("flags", "heap", "index", "mapped", "piece", "private", "store", "written")

    def __init__(self, flags: int, store: Store | None = None, index: int = 0, heap: bool = False) -> None:
        self.flags, self.store, self.index, self.heap = flags, store, index, heap
        self.private: list[int] | None = None
        self.piece: object = None
        self.mapped = self.written = False

    def content(self) -> list[int]:
        if self.private is not None:
            return self.private
        return self.store.cells.get(self.index, ZEROS) if self.store else ZEROS

    def cells(self) -> list[int]:
        """The cells to write to, of a page that was made ready for that."""
        if self.flags & VM_SHARED:
            assert self.store is not None
            return self.store.cells.setdefault(self.index, [0, 0])
        assert self.private is not None
        return self.private

    def put(self, cell: int, value: int) -> None:
        self.cells()[cell] = value
        self.written = True

    def drop(self) -> None:
        """Out of the tables; a private copy is lost."""
        self.private = None
        self.mapped = self.written = False

    def copy(self) -> "Page":
        """The same in another address space."""
        new = self.move()
        new.private = None if self.private is None else list(self.private)
        return new

    def move(self) -> "Page":
        """The same frame at another address."""
        new = Page(self.flags, self.store, self.index, self.heap)
        new.private, new.piece, new.mapped, new.written = self.private, self.piece, self.mapped, self.written
        return new


ZEROS = [0, 0]


class Space:
    """One address space and its model."""

    def __init__(self, mm: Mm) -> None:
        self.mm = mm
        self.pages: dict[int, Page] = {}
        self.brk = HEAP * PAGE
        self.lock_future = 0
        self.changed = True  # pages may have come, gone, or changed their flags since `wanted` was made
        self.wanted: list[Any] = []  # the areas, as the harness compares them
        self.noting = False  # soft-dirty bits were cleared once: writes to regions may fault since

    def areas(self) -> list[tuple[int, int, Page]]:
        """(first page, page behind the last, a page) of each area, ascending: neighbours that look alike are one."""
        out: list[list[Any]] = []
        last, before = -2, Page(0)
        for n in sorted(self.pages):
            page = self.pages[n]
            store = page.store
            if (
                n == last + 1
                and page.flags == before.flags
                and store is before.store
                and page.heap == before.heap
                and page.piece is before.piece
                and (store is None or before.index + 1 == page.index)
            ):
                out[-1][1] = n + 1
            else:
                out.append([n, n + 1, page])
            last, before = n, page
        return [(a, b, p) for a, b, p in out]

    def cut(self, first: int, last: int) -> None:
        """Make pages [first, last) of regions areas of their own, and what follows them too."""
        for at in (first, last) if first < last else ():
            page, before = self.pages.get(at), self.pages.get(at - 1)
            if page and before and page.flags & VM_SFORK and page.piece is before.piece:
                old, new = page.piece, object()
                while (page := self.pages.get(at)) and page.piece is old:
                    page.piece = new
                    at += 1

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
