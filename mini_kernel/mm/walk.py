"""Reading the four-level paging structures of one address space, in guest RAM, as the CPU walks them.

Names are Linux's: a PGD entry points at a PUD table, that at a PMD table, that at a *PTE table*, whose 512
entries map 4 KiB each (SDM vol. 3A 4.5). A table is a frame; entry i of table t is word `t * 512 + i` of RAM,
and such a word index ("slot") is how one entry is named here.

An entry that maps a frame has PTE_P, or, when its VMA allows no access at all, PTE_PROTNONE with PTE_P clear: the
CPU faults and the frame stays known (Linux _PAGE_PROTNONE). "Mapped" means either.

Nothing here changes an entry: that is pgtable.py's.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import FrameAllocator, Pfns
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT
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
)

PTE_PROTNONE: Final = PTE_G  # software meaning while PTE_P is clear
MAPPED: Final = PTE_P | PTE_PROTNONE
LEAF_OR_TABLE: Final = PTE_P | PTE_PS  # of a PMD entry: it points at a table exactly if only PTE_P of these is set
PFN_MASK: Final = PTE_ADDR >> PAGE_SHIFT
LEVEL_NAMES: Final = ("PGD", "PUD", "PMD", "PTE")
_SHIFTS: Final = (39, 30, 21, 12)

Entries = NDArray[np.uint64]
Slots = NDArray[np.int64]
_ADDR = np.uint64(PTE_ADDR)
_MAPPED = np.uint64(MAPPED)
_P = np.uint64(PTE_P)
_PS = np.uint64(PTE_PS)
_LEAF_OR_TABLE = np.uint64(LEAF_OR_TABLE)
_TWELVE = np.uint64(PAGE_SHIFT)


class Step(NamedTuple):
    """One level of a walk."""

    level: int  # 0 PGD .. 3 PTE
    table: int  # pfn of the table
    slot: int  # the entry, as a word index of RAM
    entry: int  # its value


def is_leaf(step: Step) -> bool:
    """True for a PTE, and for an upper entry that maps a huge page."""
    return step.level == len(_SHIFTS) - 1 or bool(step.entry & PTE_PS)


class UpperRange(NamedTuple):
    """A PMD table and the entries [first, last) of it that a range of addresses touches."""

    pud_slot: int
    table: int
    base: int  # address that entry 0 maps
    first: int
    last: int


class TableRange(NamedTuple):
    """A PTE table and the entries [first, last) of it that a range of addresses covers."""

    pmd_slot: int
    table: int
    base: int  # address that entry 0 maps
    first: int
    last: int


def frames_of(entries: Entries) -> Pfns:
    """The frame numbers in leaf entries."""
    return ((entries & _ADDR) >> _TWELVE).view(np.int64)


def mapped(entries: Entries) -> NDArray[np.bool_]:
    """Which entries map a frame (PROT_NONE ones too)."""
    return (entries & _MAPPED) != 0


def is_table(entries: Entries) -> NDArray[np.bool_]:
    """Which PMD entries point at a PTE table."""
    return (entries & _LEAF_OR_TABLE) == _P


def small_entries(leaf: int) -> Entries:
    """The 512 PTEs that map what a PMD leaf maps."""
    return np.arange(GROUP, dtype=np.uint64) << _TWELVE | np.uint64(leaf & ~PTE_PS)


def pages_of(entries: int, huge: bool) -> int:
    """How many pages of 4 KiB so many PTEs map, or PMD leaves if they are `huge`."""
    return entries << GROUP_SHIFT if huge else entries


class Walker:
    """The tree under one CR3, to look at."""

    def __init__(self, frames: FrameAllocator, pgd: int) -> None:
        self.frames = frames
        self.pgd = pgd
        self._upper: tuple[list[Upper], list[Upper]] | None = None  # upper_tables(), until one of them comes or goes

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

    def pud_slot(self, address: int) -> int:
        """Slot of the PUD entry for `address`, 0 if there is no PUD table."""
        entry = self.frames.ram.words[self.pgd << 9 | address >> 39 & 511]
        return (entry & PTE_ADDR) >> 3 | address >> 30 & 511 if entry else 0

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
                if entry & LEAF_OR_TABLE == PTE_P:
                    return (entry & PTE_ADDR) >> 3 | address >> 12 & 511
        return 0

    def leaf_slot(self, address: int) -> int:
        """Slot of the PMD entry for `address` if it maps a huge page, else 0."""
        slot = self.pmd_slot(address)
        return slot if slot and self.frames.ram.words[slot] & PTE_PS else 0

    # -- ranges -------------------------------------------------------------------------------------

    def upper(self, start: int, end: int) -> Iterator[UpperRange]:
        """The PMD tables over [start, end), with the entries of each whose 2 MiB it touches."""
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
                pud_slot = (pud >> PAGE_SHIFT & PFN_MASK) << 9 | index
                yield UpperRange(pud_slot, int(row[index]) >> PAGE_SHIFT & PFN_MASK, base, first, last)

    def tables_in(self, start: int, end: int) -> Iterator[TableRange]:
        """The PTE tables over [start, end), with the entries of each that lie in it."""
        ram = self.frames.ram
        for _pud_slot, pmd, base, first, last in self.upper(start, end):
            row = ram.tables[pmd]
            for index in (np.flatnonzero(is_table(row[first:last])) + first).tolist():
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
        for r in self.upper(lo, hi) if lo < hi else ():
            row = self.frames.ram.tables[r.table]
            found = np.flatnonzero(is_table(row[r.first : r.last])) + r.first
            slots.append(found + (r.table << 9))
            entries.append(row[found])
        if not slots:
            empty = np.empty(0, np.int64)
            return empty, empty, lo, max(lo, hi)
        return np.concatenate(slots), frames_of(np.concatenate(entries)), lo, hi

    def whole_leaves(self, start: int, end: int) -> Slots:
        """The PMD entries that map huge pages which lie in [start, end) as a whole."""
        lo, hi = start + PMD_SIZE - 1 & -PMD_SIZE, end & -PMD_SIZE
        found = [np.empty(0, np.int64)]
        for r in self.upper(lo, hi) if lo < hi else ():
            row = self.frames.ram.tables[r.table, r.first : r.last]
            found.append(np.flatnonzero(row & _PS) + (r.table << 9 | r.first))
        return np.concatenate(found)

    def leaves_over(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(address, entry) of each huge page that overlaps [start, end)."""
        for r in self.upper(start, end):
            row = self.frames.ram.tables[r.table]
            for index in (np.flatnonzero(row[r.first : r.last] & _PS) + r.first).tolist():
                yield r.base + (index << PMD_SHIFT), int(row[index])

    def read(self, start: int, end: int, leaves: bool = True) -> Entries:
        """A copy of the PTEs of [start, end), 0 where there is no table. One word per page.

        A huge page reads as the 512 PTEs that would map the same, if `leaves` are asked for.
        """
        out = np.zeros((end - start) >> PAGE_SHIFT, np.uint64)
        for r in self.tables_in(start, end):
            at = ((r.base - start) >> PAGE_SHIFT) + r.first
            out[at : at + r.last - r.first] = self.frames.ram.tables[r.table, r.first : r.last]
        for base, leaf in self.leaves_over(start, end) if leaves else ():
            lo, hi = max(start, base), min(end, base + PMD_SIZE)
            part = small_entries(leaf)[(lo - base) >> PAGE_SHIFT : (hi - base) >> PAGE_SHIFT]
            out[(lo - start) >> PAGE_SHIFT : (hi - start) >> PAGE_SHIFT] = part
        return out

    def tree(self) -> "Tree":
        """All tables of the address space, level by level. Costs a few numpy operations per level."""
        pud, pmd = self.upper_levels()
        return Tree(pud, pmd, self._links(pmd.child, pmd.base, PMD_SHIFT))

    def upper_tables(self) -> "tuple[list[Upper], list[Upper]]":
        """The PUD tables and the PMD tables, each in ascending order of address.

        Scalars, not arrays: there is one PMD table for each GiB, and a fork of a small process should cost little.
        The lists are not to be changed.
        """
        if self._upper is None:
            self._upper = self._find_upper()
        return self._upper

    def _find_upper(self) -> "tuple[list[Upper], list[Upper]]":
        words, tables = self.frames.ram.words, self.frames.ram.tables
        puds: list[Upper] = []
        pmds: list[Upper] = []
        tops: list[int] = tables[self.pgd].nonzero()[0].tolist()
        for top in tops:
            pud = words[self.pgd << 9 | top] >> PAGE_SHIFT & PFN_MASK
            columns: list[int] = tables[pud].nonzero()[0].tolist()
            for column in columns:
                pmds.append(Upper(len(puds), column, words[pud << 9 | column] >> PAGE_SHIFT & PFN_MASK))
            puds.append(Upper(0, top, pud))
        return puds, pmds

    def upper_levels(self) -> "tuple[Links, Links]":
        """The links from the PGD to the PUD tables, and from those to the PMD tables."""
        pud = self._links(np.array([self.pgd]), np.zeros(1, np.int64), PGDIR_SHIFT)
        return pud, self._links(pud.child, pud.base, PUD_SHIFT)

    def _links(self, parents: Pfns, bases: NDArray[np.int64], shift: int) -> "Links":
        entries = self.frames.ram.tables[parents]
        rows, columns = np.nonzero(is_table(entries) if shift == PMD_SHIFT else entries)
        child = frames_of(self.frames.ram.tables[parents[rows], columns])
        return Links(parents, rows, columns, child, bases[rows] + (columns << shift))


class Upper(NamedTuple):
    """A PUD or PMD table: which of the tables above points at it (their number in order), from where, and its pfn."""

    parent: int
    column: int
    pfn: int


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
