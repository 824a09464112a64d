"""Changing the paging structures of one address space, and sharing PTE tables between several (see walk.py for words).

A PTE table T may hang below PMD entries of many address spaces (on-demand fork). Its frame count, T.ref, is the number
of those entries. While T is shared every one of them lacks PTE_W, so that the CPU refuses to write through it; each
address space gets an entry with PTE_W back when it first has to change something below it, by *claiming* the table:

- T.ref > 1: *break* it. The address space gets a copy of its own, and both copies are write-protected page by page.
- T.ref == 1: *reuse* it. Nobody else is left, PTE_W comes back, nothing is copied.

`make_slot`, `claim`, `claim_edges` and `make_range` are the gate (R6): no PTE is changed but below a claimed entry.

Invariant: every table's count is the number of entries (or CR3s) that point at it.
Invariant: T.ref > 1 implies that no PMD entry that points at T has PTE_W (R2). Other upper entries carry TABLE_BITS.
Invariant: a private page that is writable in T is mapped by no other table (R4): reusing T needs no look at its pages.
Invariant: `tables`, `rss_anon` and `rss_file` count what this tree owns: its upper tables and the PTE tables whose
`frames.owner` is its PGD. A shared table has at most one owner.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.ledger import MemoryCosts
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE, FrameAllocator, Pfns
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.walk import Entries, TableRange, Walker, frames_of, mapped
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_ADDR, PTE_P, PTE_W, PUD_SIZE, TABLE_BITS

BATCH: Final = 64  # PTE tables worked on at once: 256 KiB of entries and their temporaries stay in the host's cache
Slots = NDArray[np.int64]

_P = np.uint64(PTE_P)
_W = np.uint64(PTE_W)
_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_TWELVE = np.uint64(PAGE_SHIFT)


class PageTables(Walker):
    """The tree under one CR3, and what of it belongs to this address space."""

    def __init__(self, frames: FrameAllocator) -> None:
        """Allocate an empty PGD. Raises SysError(ENOMEM)."""
        super().__init__(frames, frames.alloc_table())
        self.costs = MemoryCosts()
        self.tables = 1  # paging structures of all levels that belong to this tree
        self.rss_anon = 0  # pages
        self.rss_file = 0
        self.unclaimed = 0  # PMD entries without PTE_W

    # -- the gate -----------------------------------------------------------------------------------

    def make_slot(self, address: int) -> int:
        """Slot of the PTE for `address`, to be changed: claims its table, or allocates the tables that are missing.

        Raises SysError(ENOMEM) with the tree as it was.
        """
        words = self.frames.ram.words
        entry = words[self.pgd << 9 | address >> 39 & 511]
        if entry:
            entry = words[(entry & PTE_ADDR) >> 3 | address >> 30 & 511]
            if entry:
                pmd_slot = (entry & PTE_ADDR) >> 3 | address >> 21 & 511
                entry = words[pmd_slot]
                if entry:
                    if not entry & PTE_W:
                        self._claim_one(pmd_slot)
                        entry = words[pmd_slot]
                    return (entry & PTE_ADDR) >> 3 | address >> 12 & 511
        return self._grow(address)

    def claim(self, start: int, end: int) -> None:
        """Claim every PTE table over [start, end): what exists there may be changed now.

        Raises SysError(ENOMEM) with contents as they were; tables claimed before the failure stay claimed.
        """
        if self.unclaimed:
            found: list[Slots] = []
            for pmd, _base, first, last in self.upper(start, end):
                row = self.frames.ram.tables[pmd, first:last]
                found.append(np.flatnonzero(row & (_P | _W) == _P) + (pmd << 9 | first))
            for slots in found:
                self._claim(slots)

    def claim_edges(self, start: int, end: int) -> None:
        """Claim what `zap` of [start, end) has to change in part. Raises as `claim`."""
        if self.unclaimed:
            _slots, _tables, lo, hi = self.whole_tables(start, end)
            for r in self.edges(start, end, lo, hi):
                if self.is_unclaimed(r.pmd_slot) and not self._goes_whole(r):
                    self._claim_one(r.pmd_slot)

    def is_unclaimed(self, pmd_slot: int) -> bool:
        """True if the table below this entry must be claimed before it is changed."""
        return not self.frames.ram.words[pmd_slot] & PTE_W

    def _goes_whole(self, r: TableRange) -> bool:
        """True if nothing is mapped inside the range, or nothing outside: to unmap it, letting go of T will do."""
        row = self.frames.ram.tables[r.table]
        inside, every = np.count_nonzero(row[r.first : r.last]), np.count_nonzero(row)
        return not inside or inside == every

    def make_range(self, start: int, end: int) -> None:
        """Claim or allocate every PTE table over [start, end).

        All or SysError(ENOMEM) with no table of it left and contents as they were.
        """
        self.claim(start, end)
        bases = np.arange(start & -PMD_SIZE, end, PMD_SIZE, dtype=np.int64)
        made: list[int] = []
        try:
            for pud_base in range(start & -PUD_SIZE, end, PUD_SIZE):
                inside = bases[(bases & -PUD_SIZE) == pud_base]
                if not self.slot(int(inside[0])):
                    self._grow(int(inside[0]))
                    made.append(int(inside[0]))
                made += self._fill_pmd(inside)
        except Exception:
            for base in made:
                self.free_empty(base)
            raise

    def write(self, start: int, entries: Entries) -> None:
        """Store PTEs for the pages from `start`. Precondition: `make_range`, or `claim` where there are only zeros."""
        end = start + (len(entries) << PAGE_SHIFT)
        for r in self.tables_in(start, end):
            at = ((r.base - start) >> PAGE_SHIFT) + r.first
            self.frames.ram.tables[r.table, r.first : r.last] = entries[at : at + r.last - r.first]

    def mark_exclusive(self, start: int, end: int) -> None:
        """Pinned pages may have come to [start, end): the tables that hold them now must not be shared."""
        frames = self.frames
        if frames.pins:
            for r in self.tables_in(start, end):
                if frames.is_pinned(frames_of(frames.ram.tables[r.table, r.first : r.last])).any():
                    frames.kinds[r.table] |= K_EXCLUSIVE

    # -- new tables ---------------------------------------------------------------------------------

    def _grow(self, address: int) -> int:
        words = self.frames.ram.words
        slot = self.pgd << 9 | address >> 39 & 511
        missing = 3
        for shift in (30, 21, 12):
            if not words[slot]:
                break
            slot = (words[slot] & PTE_ADDR) >> 3 | address >> shift & 511
            missing -= 1
        new = self.frames.alloc_tables(missing).tolist()
        self._upper = None
        for table, shift in zip(reversed(new), (30, 21, 12)[3 - missing :], strict=True):
            words[slot] = table << PAGE_SHIFT | TABLE_BITS
            slot = table << 9 | address >> shift & 511
        self.frames.owner[new[0]] = self.pgd
        self.tables += missing
        self.costs.tables_allocated += 1
        return slot

    def _fill_pmd(self, bases: NDArray[np.int64]) -> list[int]:
        """Allocate the missing PTE tables at these bases, all below one existing PMD table."""
        ram = self.frames.ram
        row = ram.tables[self.pmd_slot(int(bases[0])) >> 9]
        index = bases >> 21 & 511
        missing = row[index] == 0
        n = int(missing.sum())
        if n:
            tables = self.frames.alloc_tables(n)
            row[index[missing]] = tables.astype(np.uint64) << _TWELVE | np.uint64(TABLE_BITS)
            self.adopt(tables)
        return bases[missing].tolist()

    def adopt(self, tables: Pfns) -> None:
        """These new PTE tables belong to this tree."""
        self.frames.owner[tables] = self.pgd
        self.tables += len(tables)
        self.costs.tables_allocated += len(tables)

    # -- shared tables ------------------------------------------------------------------------------

    def _claim(self, slots: Slots) -> None:
        """Claim the tables below these PMD entries, which lack PTE_W."""
        entries = self.frames.ram.tables.reshape(-1)[slots]
        shared = self.frames.count[frames_of(entries)] > 1
        broken = slots[shared]
        for i in range(0, len(broken), BATCH):
            self._break(broken[i : i + BATCH])
        if len(broken) < len(slots):
            self._reuse(slots[~shared])

    def _claim_one(self, slot: int) -> None:
        table = (self.frames.ram.words[slot] & PTE_ADDR) >> PAGE_SHIFT
        if self.frames.counts[table] > 1:
            self._break(np.array([slot]))
        else:
            self._reuse(np.array([slot]))

    def _break(self, slots: Slots) -> None:
        """Replace the shared tables below these PMD entries by copies (Linux COW-PTE break_cow_pte).

        Private pages lose W in both, every frame gains a reference, and each copy is complete before the entry points
        at it (R4, F41). Raises SysError(ENOMEM) with nothing changed.
        """
        frames, flat = self.frames, self.frames.ram.tables.reshape(-1)
        old = frames_of(flat[slots])
        new = frames.alloc_tables(len(slots), zero=False)
        block = frames.ram.tables[old]
        entries = block[mapped(block)]
        pfns = frames_of(entries)
        pfns = pfns[pfns != frames.zero_page]
        cached = int(np.count_nonzero(frames.kind[pfns] & K_CACHE))
        if not cached:
            block &= _NO_WRITE
        else:  # shared memory stays writable through any number of tables (F66)
            block[frames.kind[frames_of(block)] & K_CACHE == 0] &= _NO_WRITE
        frames.ram.tables[old] = block
        frames.ram.tables[new] = block
        frames.get_many(pfns)
        self._exchange(old, new, block, cached, len(pfns) - cached)
        frames.count[old] -= 1
        self._point_at(slots, new)
        self.costs.tables_broken += len(slots)
        self.costs.ptes_copied += len(entries)
        if frames.cpu is not None:
            frames.cpu.flush_tlb()

    def _exchange(self, old: Pfns, new: Pfns, block: Entries, file: int, anon: int) -> None:
        """Own `new` tables, which map `file` and `anon` counted pages, instead of `old` ones, if those were ours."""
        foreign = self.frames.owner[old] != self.pgd
        if foreign.all():
            self.rss_file += file
            self.rss_anon += anon
        else:
            self.frames.owner[old[~foreign]] = 0
            self.tables -= int(np.count_nonzero(~foreign))
            self.count_pages(block[foreign], 1)
        self.adopt(new)

    def _reuse(self, slots: Slots) -> None:
        """Nobody else uses these tables any more: take them back, and over, as they are."""
        tables = frames_of(self.frames.ram.tables.reshape(-1)[slots])
        foreign = tables[self.frames.owner[tables] != self.pgd]
        if len(foreign):
            self.frames.owner[foreign] = self.pgd
            self.tables += len(foreign)
            self._count_tables(foreign, 1)
        self._point_at(slots, tables)
        self.costs.tables_reused += len(slots)

    def _point_at(self, slots: Slots, tables: Pfns) -> None:
        """Claimed PMD entries."""
        values = tables.astype(np.uint64) << _TWELVE | np.uint64(TABLE_BITS)
        self.frames.ram.tables.reshape(-1)[slots] = values
        self.unclaimed -= len(slots)

    def _part_with(self, tables: Pfns) -> None:
        """Stop owning those of these shared tables that are ours; nobody owns them now (F33)."""
        ours = tables[self.frames.owner[tables] == self.pgd]
        if len(ours):
            self._count_tables(ours, -1)
            self.frames.owner[ours] = 0
            self.tables -= len(ours)

    def _count_tables(self, tables: Pfns, sign: int) -> None:
        for i in range(0, len(tables), BATCH):
            self.count_pages(self.frames.ram.tables[tables[i : i + BATCH]], sign)

    def count_pages(self, entries: Entries, sign: int) -> None:
        """Add the pages these PTEs map to the resident set, or take them off it (sign -1)."""
        self._count_frames(self.counted(entries), sign)

    def counted(self, entries: Entries) -> Pfns:
        """The frames that these PTEs map and that are counted: all but the zero page."""
        pfns = frames_of(entries[mapped(entries)])
        return pfns[pfns != self.frames.zero_page]

    def _count_frames(self, pfns: Pfns, sign: int) -> None:
        cached = int(np.count_nonzero(self.frames.kind[pfns] & K_CACHE))
        self.rss_file += sign * cached
        self.rss_anon += sign * (len(pfns) - cached)

    # -- taking away --------------------------------------------------------------------------------

    def edges(self, start: int, end: int, lo: int, hi: int) -> Iterator[TableRange]:
        """The table parts of [start, end) outside the whole tables [lo, hi)."""
        if lo >= hi:
            yield from self.tables_in(start, end)
            return
        yield from self.tables_in(start, lo)
        yield from self.tables_in(hi, end)

    def zap(self, start: int, end: int, tlb: Gather, unlink: bool) -> None:
        """Unmap every page of [start, end). With `unlink` the PTE tables that lie inside go as well.

        Precondition: `claim_edges`. A shared table that goes whole is let go of: its other users keep its pages (F50).
        Linux unmap_page_range. Frames and tables are freed when `tlb` has flushed.
        """
        slots, whole, lo, hi = self.whole_tables(start, end)
        if len(whole):
            self._zap_whole(slots, tlb, unlink)
        for r in self.edges(start, end, lo, hi):
            row = self.frames.ram.tables[r.table, r.first : r.last]
            if not self.is_unclaimed(r.pmd_slot):
                tlb.stale()
                self.drop_entries(row, tlb)
                row[:] = 0
            elif row.any():
                self._zap_whole(np.array([r.pmd_slot]), tlb, unlink)

    def _zap_whole(self, slots: Slots, tlb: Gather, unlink: bool) -> None:
        """Unmap all pages of the PTE tables below these PMD entries; shared tables are always unlinked."""
        flat = self.frames.ram.tables.reshape(-1)
        tlb.stale()
        gone = np.ones(len(slots), np.bool_)
        if not unlink:
            gone = flat[slots] & _W == 0
            kept = frames_of(flat[slots[~gone]])
            self._drop_tables(kept, tlb)
            self.frames.ram.tables[kept] = 0
        leaving = slots[gone]
        if len(leaving):
            self.unclaimed -= int(np.count_nonzero(flat[leaving] & _W == 0))
            self.drop_tables(frames_of(flat[leaving]), tlb)
            flat[leaving] = 0

    def drop_tables(self, tables: Pfns, tlb: Gather) -> None:
        """Give up these PTE tables, and the pages of those that nobody else uses.

        Clearing the PMD entries and `tlb.stale()` are the caller's.
        """
        shared = self.frames.count[tables] > 1
        ours = self.frames.owner[tables] == self.pgd
        self._part_with(tables[shared & ours])
        self._drop_tables(tables[~shared & ours], tlb)
        self.tables -= int(np.count_nonzero(~shared & ours))
        orphans = tables[~shared & ~ours]
        for i in range(0, len(orphans), BATCH):
            tlb.release(self.counted(self.frames.ram.tables[orphans[i : i + BATCH]]))
        tlb.release(tables)

    def _drop_tables(self, tables: Pfns, tlb: Gather) -> None:
        """`drop_entries` for all entries of these tables, which nobody shares and we own."""
        for i in range(0, len(tables), BATCH):
            self.drop_entries(self.frames.ram.tables[tables[i : i + BATCH]].reshape(-1), tlb)

    def drop_entries(self, entries: Entries, tlb: Gather) -> None:
        """Give up the frames that these PTEs of tables we own map.

        Clearing the PTEs and `tlb.stale()` are the caller's.
        """
        pfns = self.counted(entries)
        if len(pfns):
            tlb.release(pfns)
            self._count_frames(pfns, -1)

    def detach_empty(self, address: int) -> list[int]:
        """Unlink the PTE table over `address` if it is empty, and the tables above that become empty.

        Returns their pfns, lowest level first; the caller frees them after the flush.
        """
        gone: list[int] = []
        words, tables = self.frames.ram.words, self.frames.ram.tables
        for step in reversed(self.walk(address)[:3]):
            if not step.entry & PTE_P:
                continue
            child = (step.entry & PTE_ADDR) >> PAGE_SHIFT
            if tables[child].any():
                break
            words[step.slot] = 0
            self._upper = None
            if not step.entry & PTE_W:
                self.unclaimed -= 1
            if step.level < 2 or self.frames.owner[child] == self.pgd:
                self.tables -= 1
                if self.frames.counts[child] > 1:
                    self.frames.owner[child] = 0
            gone.append(child)
        return gone

    def free_empty(self, address: int) -> None:
        """`detach_empty` for tables the CPU has not walked yet: freed without a flush."""
        for pfn in self.detach_empty(address):
            self.frames.put(pfn)

    def detach_range(self, start: int, end: int) -> list[int]:
        """After everything in [start, end) was unmapped: unlink what tables over it are empty now.

        PTE tables that lie in the range as a whole must be gone already, so only the two at
        its ends are looked at, and every table above. Linux free_pgtables. Returns the pfns.
        """
        gone = self.detach_empty(start) + self.detach_empty(end - 1)
        for _pmd, base, _first, _last in list(self.upper(start, end)):
            gone += self.detach_empty(base if base >= start else start)
        return gone
