"""The page tables as an MMU sees them, as arrays; and what a TLB may still hold of an earlier look at them.

A CPU caches translations (W and U ANDed, NX ORed over the levels) and, apart from those, entries of the upper levels
(SDM vol. 3A 4.10.2, 4.10.3). Both may outlive a change of the tables until they are flushed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.mm import Mm
from mini_kernel.x86 import PTE_D

PAGE_SHIFT = 12
ADDR = 0xF_FFFF_FFFF_F000
P, W, U, PS, NX = 1, 2, 4, 1 << 7, 1 << 63
READ, WRITE, EXEC = 1, 2, 4  # rights


def _words(value: int) -> Any:
    return np.uint64(value)


def rights_of(both: int, either: int) -> int:
    """What bits ANDed and ORed over the levels allow."""
    return READ | both & W | (0 if either & NX else EXEC) if both & (P | U) == P | U else 0


class View:
    """Everything mapped in one address space at one moment, in ascending order of addresses.

    `rights` is 0 where nothing is allowed (PROT_NONE). `upper` holds the entries above the leaves: (level, first
    address) -> (table pointed at, may write below it). A huge page is 512 pages with the entry of its PMD leaf.
    """

    __slots__ = ("block", "entry", "huge", "page", "pfn", "rights", "upper")

    @classmethod
    def now(cls, mm: Mm, before: "View | None") -> "View":
        """What is there now; `before` itself if nothing is different."""
        view = cls()
        level = view._upper_levels(mm)
        view.block = mm.frames.ram.tables[np.array([table for table, *_ in level], np.int64)]
        same = before is not None and before.upper == view.upper and before.huge == view.huge
        if before is not None and same and np.array_equal(before.block, view.block):
            return before
        view._leaves(level)
        return view

    def _upper_levels(self, mm: Mm) -> list[tuple[int, int, int, int]]:
        """Fills `upper`; returns (PTE table, address, bits ANDed, bits ORed on the way) in ascending order."""
        memory = mm.frames.ram.tables
        self.upper: dict[tuple[int, int], tuple[int, bool]] = {}
        self.huge: list[tuple[int, int, int, int]] = []  # (address, entry, bits ANDed, bits ORed above)
        level = [(mm.pt.pgd, 0, ~0, 0)]
        for depth, shift in enumerate((39, 30, 21)):
            below: list[tuple[int, int, int, int]] = []
            for table, base, both, either in level:
                row = memory[table]
                index = row.nonzero()[0]
                for i, entry in zip(index.tolist(), row[index].tolist(), strict=True):
                    va, child = base + (i << shift), (entry & ADDR) >> PAGE_SHIFT
                    if depth == 2 and entry & PS:
                        self.huge.append((va, entry, both, either))
                        continue
                    assert entry & P, f"level {depth} entry {entry:#x} at {va:#x}"
                    self.upper[depth, va] = (child, bool(entry & W))
                    below.append((child, va, both & entry, either | entry))
            level = below
        return level

    def _leaves(self, tables: list[tuple[int, int, int, int]]) -> None:
        rows, columns = self.block.nonzero()
        entry: NDArray[np.uint64] = self.block[rows, columns]
        bases = np.array([base >> PAGE_SHIFT for _, base, *_ in tables], np.int64)
        both = np.array([both & 7 for _, _, both, _ in tables], np.uint64)
        either = np.array([either & NX for *_, either in tables], np.uint64)
        self.entry = entry
        self.page = bases[rows] + columns
        self.pfn: NDArray[np.int64] = ((entry & _words(ADDR)) >> _words(PAGE_SHIFT)).astype(np.int64)
        allowed = entry & both[rows]
        present = allowed & _words(P | U) == _words(P | U)
        rights = present | ((allowed & _words(W)) != 0) * np.int64(WRITE)
        rights |= ((entry | either[rows]) & _words(NX) == 0) * np.int64(EXEC)
        self.rights: NDArray[np.int64] = np.where(present, rights, 0)
        if self.huge:
            self._add_huge()

    def _add_huge(self) -> None:
        """Merge in the huge pages, page by page."""
        pages, frames, entries, rights = [self.page], [self.pfn], [self.entry], [self.rights]
        each = np.arange(512)
        for va, entry, both, either in self.huge:
            pages.append((va >> PAGE_SHIFT) + each)
            frames.append(((entry & ADDR) >> PAGE_SHIFT) + each)
            entries.append(np.full(512, entry, np.uint64))
            rights.append(np.full(512, rights_of(entry & both, entry | either)))
        order = np.argsort(np.concatenate(pages))
        self.page, self.pfn = np.concatenate(pages)[order], np.concatenate(frames)[order]
        self.entry, self.rights = np.concatenate(entries)[order], np.concatenate(rights)[order]

    def frames(self) -> list[int]:
        """Frames and tables a CPU may reach without another look at the tables."""
        return self.pfn[self.rights != 0].tolist() + [child for child, _ in self.upper.values()]

    def lost(self, now: "View") -> str:
        """What is wrong with a TLB that was filled from this view when the tables are as `now`; or empty (I9)."""
        if self is now:
            return ""
        for (level, va), (child, write) in self.upper.items():
            found, allowed = now.upper.get((level, va), (0, False))
            if found != child:
                return f"level {level} of {va:#x} is cached as table {child:#x}, but is {found:#x}"
            if write and not allowed:
                return f"level {level} of {va:#x} is cached as writable, but is not"
        if len(self.page) == len(now.page) and np.array_equal(self.page, now.page):
            wrong = (self.rights != 0) & ((self.pfn != now.pfn) | (self.rights & ~now.rights != 0))
            return f"page {int(self.page[wrong.argmax()]):#x} is cached otherwise" if wrong.any() else ""
        current = dict(zip(now.page.tolist(), zip(now.pfn.tolist(), now.rights.tolist(), strict=True), strict=True))
        for page, pfn, rights in zip(self.page.tolist(), self.pfn.tolist(), self.rights.tolist(), strict=True):
            frame, allowed = current.get(page, (0, 0))
            if rights and (frame != pfn or rights & ~allowed):
                return f"page {page:#x} is cached as {pfn:#x}/{rights}, but is {frame:#x}/{allowed}"
        return ""

    def cleaned(self, now: "View", cached: NDArray[np.bool_]) -> int:
        """A page of a page cache that was dirty in this view, is mapped as it was, and is clean `now`; 0 if none (F66).

        `cached` says which frames belong to page caches.
        """
        if self is now:
            return 0
        dirty = cached[self.pfn] & (self.entry & _words(PTE_D) != 0)
        if not dirty.any() or not len(now.page):
            return 0
        page, pfn = self.page[dirty], self.pfn[dirty]
        at = np.minimum(np.searchsorted(now.page, page), len(now.page) - 1)
        same = (now.page[at] == page) & (now.pfn[at] == pfn)
        wrong = same & (now.entry[at] & _words(PTE_D) == 0)
        return int(page[wrong.argmax()]) if wrong.any() else 0


class Leaf:
    """One address: the PMD entry and the PTE (0 if there is none), where that is, and the rights of both and above.

    Of a huge page the PMD entry is `pte`.
    """

    __slots__ = ("pfn", "pmd", "pte", "pud", "rights", "slot")

    def __init__(self, mm: Mm, page: int) -> None:
        words = mm.frames.ram.words
        self.pud = self.pmd = self.pte = self.rights = self.slot = self.pfn = 0
        entry, both, either = mm.pt.pgd << PAGE_SHIFT, ~0, 0
        for shift in (27, 18, 9, 0):
            slot = (entry & ADDR) >> 3 | page >> shift & 511
            entry = words[slot]
            last = not shift or (shift == 9 and bool(entry & PS))
            if shift == 18:
                self.pud = entry
            elif shift == 9 and not last:
                self.pmd = entry
            if not last and not entry & P:
                return
            both, either = both & entry, either | entry
            if last:
                break
        self.slot, self.pte, self.rights = slot, entry, rights_of(both, either)
        self.pfn = ((entry & ADDR) >> PAGE_SHIFT) + (page & 511 if shift else 0)

    @property
    def table(self) -> int:
        """The PTE table, 0 if there is none."""
        return (self.pmd & ADDR) >> PAGE_SHIFT
