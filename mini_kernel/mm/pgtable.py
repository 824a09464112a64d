"""The four-level paging structures of one address space, in guest RAM, as the CPU walks them.

Names are Linux's: a PGD entry points at a PUD table, that at a PMD table, that at a *PTE table*, whose 512
entries map 4 KiB each (SDM vol. 3A 4.5). A table is a frame; entry i of table t is word `t * 512 + i` of RAM,
and such a word index ("slot") is how one entry is named here.

An entry that maps a frame has PTE_P, or, when its VMA allows no access at all, PTE_PROTNONE with PTE_P clear: the
CPU faults and the frame stays known (Linux _PAGE_PROTNONE). "Mapped" means either.

Invariant: every table's count is the number of entries (or CR3s) that point at it; 1 unless shared.
Invariant: upper-level entries carry TABLE_BITS, leaves decide the rights.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import FrameAllocator, Pfns
from mini_kernel.x86 import (
    PAGE_SHIFT,
    PGDIR_SHIFT,
    PMD_SHIFT,
    PMD_SIZE,
    PTE_ADDR,
    PTE_G,
    PTE_P,
    PTE_PS,
    PTRS_PER_TABLE,
    PUD_SHIFT,
    PUD_SIZE,
    TABLE_BITS,
)

PTE_PROTNONE: Final = PTE_G  # software meaning while PTE_P is clear
MAPPED: Final = PTE_P | PTE_PROTNONE
PFN_MASK: Final = PTE_ADDR >> PAGE_SHIFT
LEVEL_NAMES: Final = ("PGD", "PUD", "PMD", "PTE")
_SHIFTS: Final = (39, 30, 21, 12)

Entries = NDArray[np.uint64]
_ADDR = np.uint64(PTE_ADDR)
_MAPPED = np.uint64(MAPPED)
_P = np.uint64(PTE_P)
_TWELVE = np.uint64(PAGE_SHIFT)


class Step(NamedTuple):
    """One level of a walk."""

    level: int  # 0 PGD .. 3 PTE
    table: int  # pfn of the table
    slot: int  # the entry, as a word index of RAM
    entry: int  # its value


class TableRange(NamedTuple):
    """A PTE table and the entries [first, last) of it that a range of addresses covers."""

    pmd_slot: int
    table: int
    base: int  # address that entry 0 maps
    first: int
    last: int


def frames_of(entries: Entries) -> Pfns:
    """The frame numbers in leaf entries."""
    return ((entries & _ADDR) >> _TWELVE).astype(np.int64)


def mapped(entries: Entries) -> NDArray[np.bool_]:
    """Which entries map a frame (PROT_NONE ones too)."""
    return (entries & _MAPPED) != 0


class PageTables:
    """The tree under one CR3."""

    def __init__(self, frames: FrameAllocator) -> None:
        """Allocate an empty PGD. Raises SysError(ENOMEM)."""
        self.frames = frames
        self.pgd = frames.alloc_table()
        self.tables = 1  # paging structures of all levels that belong to this tree

    # -- one address --------------------------------------------------------------------------------

    def walk(self, address: int) -> list[Step]:
        """The entries the CPU reads for `address`, top down, up to the first that ends the walk."""
        steps: list[Step] = []
        table = self.pgd
        for level, shift in enumerate(_SHIFTS):
            index = address >> shift & 511
            entry = self.frames.ram.words[table << 9 | index]
            steps.append(Step(level, table, table << 9 | index, entry))
            if not entry & PTE_P or (entry & PTE_PS and level in (1, 2)):
                break
            table = (entry & PTE_ADDR) >> PAGE_SHIFT
        return steps

    def pmd_slot(self, address: int) -> int:
        """Slot of the PMD entry for `address`, 0 if there is no PMD table."""
        words = self.frames.ram.words
        pud = words[self.pgd << 9 | address >> 39 & 511]
        if not pud:
            return 0
        pmd = words[(pud & PTE_ADDR) >> 3 | address >> 30 & 511]
        return (pmd & PTE_ADDR) >> 3 | address >> 21 & 511 if pmd else 0

    def slot(self, address: int) -> int:
        """Slot of the PTE for `address`, 0 if there is no PTE table."""
        words = self.frames.ram.words
        entry = words[self.pgd << 9 | address >> 39 & 511]
        if entry:
            entry = words[(entry & PTE_ADDR) >> 3 | address >> 30 & 511]
            if entry:
                entry = words[(entry & PTE_ADDR) >> 3 | address >> 21 & 511]
                if entry:
                    return (entry & PTE_ADDR) >> 3 | address >> 12 & 511
        return 0

    def make_slot(self, address: int) -> int:
        """Slot of the PTE for `address`, allocating the tables that are missing.

        This and `slot` are the only ways to a single PTE that is to be changed.
        Raises SysError(ENOMEM) with the tree as it was.
        """
        return self.slot(address) or self._grow(address)

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
        for table, shift in zip(reversed(new), (30, 21, 12)[3 - missing :], strict=True):
            words[slot] = table << PAGE_SHIFT | TABLE_BITS
            slot = table << 9 | address >> shift & 511
        self.tables += missing
        return slot

    # -- ranges -------------------------------------------------------------------------------------

    def upper(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """PMD tables over [start, end): (PMD table pfn, its base address, first entry, last entry + 1)."""
        ram = self.frames.ram
        for top in range(start >> PGDIR_SHIFT, (end - 1 >> PGDIR_SHIFT) + 1):
            pud = ram.words[self.pgd << 9 | top]
            if not pud:
                continue
            row = ram.tables[pud >> PAGE_SHIFT & PFN_MASK]
            lo = max(start >> PUD_SHIFT, top << 9) & 511
            hi = min((end - 1 >> PUD_SHIFT) + 1, top + 1 << 9) - (top << 9)
            for index in (np.flatnonzero(row[lo:hi]) + lo).tolist():
                base = (top << 9 | index) << PUD_SHIFT
                first = (start - base) >> PMD_SHIFT if start > base else 0
                last = min(PTRS_PER_TABLE, (end - base + PMD_SIZE - 1) >> PMD_SHIFT)
                yield int(row[index]) >> PAGE_SHIFT & PFN_MASK, base, first, last

    def tables_in(self, start: int, end: int) -> Iterator[TableRange]:
        """The PTE tables over [start, end), with the entries of each that lie in it."""
        ram = self.frames.ram
        for pmd, base, first, last in self.upper(start, end):
            row = ram.tables[pmd]
            for index in (np.flatnonzero(row[first:last]) + first).tolist():
                va = base + (index << PMD_SHIFT)
                lo = (start - va) >> PAGE_SHIFT if start > va else 0
                hi = min(PTRS_PER_TABLE, (end - va) >> PAGE_SHIFT)
                entry = int(row[index])
                yield TableRange(pmd << 9 | index, (entry & PTE_ADDR) >> PAGE_SHIFT, va, lo, hi)

    def whole_tables(self, start: int, end: int) -> tuple[NDArray[np.int64], Pfns, int, int]:
        """PTE tables that lie in [start, end) as a whole.

        Returns (their PMD slots, their pfns, lo, hi): arrays of equal length, and the 2 MiB aligned
        part [lo, hi) they were looked for in. Edges outside [lo, hi) are the caller's.
        """
        lo, hi = start + PMD_SIZE - 1 & -PMD_SIZE, end & -PMD_SIZE
        slots: list[NDArray[np.int64]] = []
        entries: list[Entries] = []
        for pmd, _base, first, last in self.upper(lo, hi) if lo < hi else ():
            row = self.frames.ram.tables[pmd]
            found = np.flatnonzero(row[first:last]) + first
            slots.append(found + (pmd << 9))
            entries.append(row[found])
        if not slots:
            empty = np.empty(0, np.int64)
            return empty, empty, lo, max(lo, hi)
        return np.concatenate(slots), frames_of(np.concatenate(entries)), lo, hi

    def read(self, start: int, end: int) -> Entries:
        """A copy of the PTEs of [start, end), 0 where there is no table. One word per page."""
        out = np.zeros((end - start) >> PAGE_SHIFT, np.uint64)
        for r in self.tables_in(start, end):
            at = ((r.base - start) >> PAGE_SHIFT) + r.first
            out[at : at + r.last - r.first] = self.frames.ram.tables[r.table, r.first : r.last]
        return out

    def write(self, start: int, entries: Entries) -> None:
        """Store PTEs for the pages from `start`. Precondition: `make_range` for every non-zero entry."""
        end = start + (len(entries) << PAGE_SHIFT)
        for r in self.tables_in(start, end):
            at = ((r.base - start) >> PAGE_SHIFT) + r.first
            self.frames.ram.tables[r.table, r.first : r.last] = entries[at : at + r.last - r.first]

    def make_range(self, start: int, end: int) -> None:
        """Allocate every PTE table over [start, end). All or SysError(ENOMEM) with no table of it left."""
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

    def _fill_pmd(self, bases: NDArray[np.int64]) -> list[int]:
        """Allocate the missing PTE tables at these bases, all below one existing PMD table."""
        ram = self.frames.ram
        row = ram.tables[self.pmd_slot(int(bases[0])) >> 9]
        index = bases >> PMD_SHIFT & 511
        missing = row[index] == 0
        n = int(missing.sum())
        if n:
            tables = self.frames.alloc_tables(n)
            row[index[missing]] = tables.astype(np.uint64) << _TWELVE | np.uint64(TABLE_BITS)
            self.tables += n
        return bases[missing].tolist()

    def tree(self) -> "Tree":
        """All tables of the address space, level by level. Costs a few numpy operations per level."""
        tables = self.frames.ram.tables
        level = np.array([self.pgd], dtype=np.int64)
        links: list[Links] = []
        base = np.zeros(1, np.int64)
        for shift in (PGDIR_SHIFT, PUD_SHIFT, PMD_SHIFT):
            rows, columns = np.nonzero(tables[level])
            child = frames_of(tables[level[rows], columns])
            base = base[rows] + (columns << shift)
            links.append(Links(level, rows, columns, child, base))
            level = child
        return Tree(links[0], links[1], links[2])

    # -- taking tables away -------------------------------------------------------------------------

    def unlink(self, slots: NDArray[np.int64]) -> None:
        """Clear these PMD entries. The caller owns the PTE tables now and frees them after the flush."""
        self.frames.ram.tables.reshape(-1)[slots] = 0
        self.tables -= len(slots)

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
            self.tables -= 1
            gone.append(child)
        return gone

    def free_empty(self, address: int) -> None:
        """`detach_empty` for tables the CPU has not walked yet: freed without a flush."""
        for pfn in self.detach_empty(address):
            self.frames.put(pfn)

    def detach_range(self, start: int, end: int) -> list[int]:
        """After everything in [start, end) was unmapped: unlink what tables over it are empty now.

        PTE tables that lie in the range as a whole must be gone already (`unlink`), so only the two at
        its ends are looked at, and every table above. Linux free_pgtables. Returns the pfns.
        """
        gone = self.detach_empty(start) + self.detach_empty(end - 1)
        for _pmd, base, _first, _last in list(self.upper(start, end)):
            gone += self.detach_empty(base if base >= start else start)
        return gone


class Links(NamedTuple):
    """The entries of one level that point at tables of the next, as parallel arrays (but `parents`).

    Entry `column[i]` of table `parents[row[i]]` points at table `child[i]`, which serves addresses from `base[i]`.
    """

    parents: Pfns
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    child: Pfns
    base: NDArray[np.int64]


class Tree(NamedTuple):
    """PGD -> PUD tables -> PMD tables -> PTE tables."""

    pud: Links
    pmd: Links
    pte: Links

    def table_count(self) -> int:
        """Paging structures in the tree, the PGD included."""
        return 1 + sum(len(links.child) for links in self)
