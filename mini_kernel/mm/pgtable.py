"""Changing the paging structures of one address space (see walk.py for words, sharing.py for tables with many users).

`make_slot`, `make_pmd_slot`, `claim`, `claim_edges` and `make_range` are the gate (R6): no PTE is changed but below
claimed entries, and no PMD leaf but in a claimed table. Where a leaf is in the way of single pages the gate splits it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import K_EXCLUSIVE, Pfns
from mini_kernel.mm.sharing import BATCH, SharedTables
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.walk import Entries, Slots, TableRange, frames_of
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_ADDR, PTE_P, PTE_PS, PTE_W, PUD_SIZE, TABLE_BITS

_P = np.uint64(PTE_P)
_W = np.uint64(PTE_W)
_PS = np.uint64(PTE_PS)
_PRESENT_TABLE: Final = np.uint64(PTE_P | PTE_W | PTE_PS)
_TWELVE = np.uint64(PAGE_SHIFT)


class PageTables(SharedTables):
    """The tree under one CR3, to change."""

    # -- the gate -----------------------------------------------------------------------------------

    def make_slot(self, address: int) -> int:
        """Slot of the PTE for `address`, to be changed: claims its table, or allocates the tables that are missing.

        Raises SysError(ENOMEM) with the tree as it was.
        """
        words = self.frames.ram.words
        entry = words[self.pgd << 9 | address >> 39 & 511]
        if entry:
            entry = words[(entry & PTE_ADDR) >> 3 | address >> 30 & 511]
            if entry & PTE_W:
                entry = words[(entry & PTE_ADDR) >> 3 | address >> 21 & 511]
                if entry & (PTE_W | PTE_PS) == PTE_W:
                    return (entry & PTE_ADDR) >> 3 | address >> 12 & 511
        return self._make_slot(address)

    def _make_slot(self, address: int) -> int:
        """`make_slot` where something stands in the way, or is missing."""
        words = self.frames.ram.words
        self._claim_above(address)
        pmd_slot = self.pmd_slot(address)
        entry = words[pmd_slot] if pmd_slot else 0
        if not entry:
            return self._grow(address, 12)
        if entry & PTE_PS:
            self.split(pmd_slot)
        elif not entry & PTE_W:
            self.claim_table(pmd_slot)
        return (words[pmd_slot] & PTE_ADDR) >> 3 | address >> 12 & 511

    def make_pmd_slot(self, address: int) -> int:
        """Slot of the PMD entry for `address`, to be changed: claims its table, or allocates what is missing.

        Raises SysError(ENOMEM) with the tree as it was.
        """
        self._claim_above(address)
        return self._grow(address, 21)

    def _claim_above(self, address: int) -> None:
        """Claim the PMD table over `address`, if there is one that needs it."""
        if self.unclaimed:
            slot = self.pud_slot(address)
            if slot and self.frames.ram.words[slot] & (PTE_P | PTE_W) == PTE_P:
                self.claim_table(slot, huge=True)

    def claim(self, start: int, end: int) -> None:
        """Claim every table over [start, end) and split the huge pages that reach over its ends.

        What exists there may be changed now. Raises SysError(ENOMEM) with contents as they were; tables claimed before
        the failure stay claimed.
        """
        if self.unclaimed:
            if self.has_leaves:
                for r in list(self.upper(start, end)):
                    if self.is_unclaimed(r.pud_slot):
                        self.claim_table(r.pud_slot, huge=True)
            found: list[Slots] = []
            for r in self.upper(start, end):
                row = self.frames.ram.tables[r.table, r.first : r.last]
                found.append(np.flatnonzero(row & _PRESENT_TABLE == _P) + (r.table << 9 | r.first))
            for slots in found:
                self.claim_tables(slots)
        self.cut(start)
        self.cut(end)

    def claim_edges(self, start: int, end: int) -> None:
        """Claim, and split, what `zap` of [start, end) has to change in part. Raises as `claim`."""
        self.cut(start)
        self.cut(end)
        if self.unclaimed:
            for u in list(self.upper(start, end)) if self.has_leaves else ():
                if self.is_unclaimed(u.pud_slot) and not self._goes_whole(u.table, u.first, u.last):
                    self.claim_table(u.pud_slot, huge=True)
            _slots, _tables, lo, hi = self.whole_tables(start, end)
            for r in self.edges(start, end, lo, hi):
                if self.is_unclaimed(r.pmd_slot) and not self._goes_whole(r.table, r.first, r.last):
                    self.claim_table(r.pmd_slot)

    def _goes_whole(self, table: int, first: int, last: int) -> bool:
        """True if nothing is mapped by entries [first, last), or nothing by others: to unmap it, letting go will do."""
        row = self.frames.ram.tables[table]
        inside, every = np.count_nonzero(row[first:last]), np.count_nonzero(row)
        return not inside or inside == every

    def cut(self, address: int) -> None:
        """Split the huge page that `address` lies inside of, if there is one. Raises SysError(ENOMEM)."""
        if self.has_leaves and address & (PMD_SIZE - 1) and self.leaf_slot(address):
            self.make_slot(address)

    def split_range(self, start: int, end: int) -> None:
        """Split every huge page over [start, end). Raises SysError(ENOMEM) with contents as they were."""
        if self.has_leaves:
            for base in [base for base, _leaf in self.leaves_over(start, end)]:
                self.make_slot(base)

    def make_range(self, start: int, end: int, huge: Iterable[int] = ()) -> None:
        """Claim or allocate every PTE table over [start, end), but where `huge` pages are to come, given by address.

        All or SysError(ENOMEM) with no table of it left and contents as they were.
        """
        self.claim(start, end)
        self.split_range(start, end)
        bases = np.arange(start & -PMD_SIZE, end, PMD_SIZE, dtype=np.int64)
        bases = bases[~np.isin(bases, [*huge])] if huge else bases
        made: list[int] = []
        try:
            for pud_base in range(start & -PUD_SIZE, end, PUD_SIZE):
                inside = bases[(bases & -PUD_SIZE) == pud_base]
                if not len(inside):
                    continue
                if not self.slot(int(inside[0])):
                    self._grow(int(inside[0]), 12)
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

    def move_leaves(self, moving: list[tuple[int, int]]) -> None:
        """Move huge pages, each (from, to) an address where nothing is. Precondition: `claim`, `make_pmd_slot`."""
        words = self.frames.ram.words
        for now, then in moving:
            source = self.pmd_slot(now)
            words[self.pmd_slot(then)], words[source] = words[source], 0

    def mark_exclusive(self, start: int, end: int) -> None:
        """Pinned pages may have come to [start, end): the tables that hold them now must not be shared."""
        frames = self.frames
        if frames.pins:
            for u in self.upper(start, end) if self.has_leaves else ():
                groups = self.counted(frames.ram.tables[u.table, u.first : u.last], huge=True)
                if frames.is_pinned(groups, huge=True).any():
                    frames.kinds[u.table] |= K_EXCLUSIVE
            for r in self.tables_in(start, end):
                if frames.is_pinned(frames_of(frames.ram.tables[r.table, r.first : r.last])).any():
                    frames.kinds[r.table] |= K_EXCLUSIVE

    # -- new tables ---------------------------------------------------------------------------------

    def _grow(self, address: int, shift: int) -> int:
        """Slot of the entry for `address` that maps 1 << `shift` bytes; the tables above it are allocated if missing.

        Raises SysError(ENOMEM) with the tree as it was.
        """
        words = self.frames.ram.words
        slot = self.pgd << 9 | address >> 39 & 511
        shifts = [below for below in (30, 21, 12) if below >= shift]
        while shifts and words[slot]:
            slot = (words[slot] & PTE_ADDR) >> 3 | address >> shifts.pop(0) & 511
        if not shifts:
            return slot
        new = self.frames.alloc_tables(len(shifts))
        self._upper = None
        self.frames.owner[new] = self.pgd
        for table, below in zip(reversed(new.tolist()), shifts, strict=True):
            words[slot] = table << PAGE_SHIFT | TABLE_BITS
            slot = table << 9 | address >> below & 511
        self.tables += len(new)
        self.costs.tables_allocated += shift == 12
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
        if self.has_leaves:
            self._zap_leaves(start, end, tlb)
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

    def _zap_leaves(self, start: int, end: int, tlb: Gather) -> None:
        """Unmap the huge pages of [start, end), each of which lies in it as a whole."""
        for r in list(self.upper(start, end)):
            row = self.frames.ram.tables[r.table, r.first : r.last]
            leaves = (row & _PS) != 0
            if not leaves.any():
                continue
            tlb.stale()
            if self.is_unclaimed(r.pud_slot):
                self.let_go(np.array([r.pud_slot]), tlb, huge=True)
            else:
                self.drop_entries(row[leaves], tlb, huge=True)
                row[leaves] = 0

    def _zap_whole(self, slots: Slots, tlb: Gather, unlink: bool) -> None:
        """Unmap all pages of the PTE tables below these PMD entries; shared tables are always unlinked."""
        flat = self.frames.ram.tables.reshape(-1)
        tlb.stale()
        gone = np.ones(len(slots), np.bool_)
        if not unlink:
            gone = flat[slots] & _W == 0
            kept = frames_of(flat[slots[~gone]])
            self._drop_tables(kept, tlb, False)
            self.frames.ram.tables[kept] = 0
        if gone.any():
            self.let_go(slots[gone], tlb)

    def let_go(self, slots: Slots, tlb: Gather, huge: bool = False) -> None:
        """Clear these entries and give up the tables they point at. `tlb.stale()` is the caller's."""
        flat = self.frames.ram.tables.reshape(-1)
        self.unclaimed -= int(np.count_nonzero(flat[slots] & _W == 0))
        self.drop_tables(frames_of(flat[slots]), tlb, huge)
        flat[slots] = 0
        if huge:
            self._upper = None

    def drop_tables(self, tables: Pfns, tlb: Gather, huge: bool = False) -> None:
        """Give up these tables, and the pages of those that nobody else uses.

        Clearing the entries that point at them and `tlb.stale()` are the caller's.
        """
        shared = self.frames.count[tables] > 1
        ours = self.frames.owner[tables] == self.pgd
        self.part_with(tables[shared & ours], huge)
        self._drop_tables(tables[~shared & ours], tlb, huge)
        self.tables -= int(np.count_nonzero(~shared & ours))
        orphans = tables[~shared & ~ours]
        for i in range(0, len(orphans), BATCH):
            tlb.release(self.counted(self.frames.ram.tables[orphans[i : i + BATCH]], huge), huge)
        tlb.release(tables)

    def _drop_tables(self, tables: Pfns, tlb: Gather, huge: bool) -> None:
        """`drop_entries` for all entries of these tables, which nobody shares and we own."""
        for i in range(0, len(tables), BATCH):
            self.drop_entries(self.frames.ram.tables[tables[i : i + BATCH]].reshape(-1), tlb, huge)

    def drop_entries(self, entries: Entries, tlb: Gather, huge: bool = False) -> None:
        """Give up the frames that these PTEs, or PMD leaves, of tables we own map.

        Clearing the entries and `tlb.stale()` are the caller's.
        """
        pfns = self.counted(entries, huge)
        if len(pfns):
            tlb.release(pfns, huge)
            self.count_frames(pfns, -1, huge)

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
            if step.entry & PTE_PS or tables[child].any():
                break
            words[step.slot] = 0
            self._upper = None
            if not step.entry & PTE_W:
                self.unclaimed -= 1
            if not step.level or self.frames.owner[child] == self.pgd:
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
        for r in list(self.upper(start, end)):
            gone += self.detach_empty(max(r.base, start))
        return gone
