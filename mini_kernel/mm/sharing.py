"""Tables that map pages and that several address spaces share: who owns them, and how one gets its own again.

Two kinds of table are shared by on-demand fork, and all here works on both: PTE tables, through PMD entries, and PMD
tables that map nothing but huge pages (`huge`), through PUD entries. Such a table T may hang below entries of many
address spaces; its frame count, T.ref, is the number of those entries. While T is shared every one of them lacks PTE_W,
so that the CPU refuses to write through it; each address space gets an entry with PTE_W back when it first has to
change something below it, by *claiming* the table:

- T.ref > 1: *break* it. The address space gets a copy of its own, and both copies are write-protected page by page.
- T.ref == 1: *reuse* it. Nobody else is left, PTE_W comes back, nothing is copied.

Invariant: every table's count is the number of entries (or CR3s) that point at it.
Invariant: T.ref > 1 implies that no entry that points at T has PTE_W (R2). Other upper entries carry TABLE_BITS.
Invariant: a private page that is writable in T is mapped by no other table (R4): reusing T needs no look at its pages.
Invariant: `tables`, `rss_anon` and `rss_file` count what this tree owns: its PGD and PUD tables, and the tables below
whose `frames.owner` is its PGD. A shared table has at most one owner.
"""

from typing import Final

import numpy as np

from mini_kernel.ledger import MemoryCosts
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE, FrameAllocator, Pfns
from mini_kernel.mm.walk import Entries, Slots, Walker, frames_of, mapped, pages_of, small_entries
from mini_kernel.mm.zone import GROUP
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_PS, PTE_W, TABLE_BITS

BATCH: Final = 64  # tables worked on at once: 256 KiB of entries and their temporaries stay in the host's cache

_W = np.uint64(PTE_W)
_PS = np.uint64(PTE_PS)
_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_TWELVE = np.uint64(PAGE_SHIFT)


class SharedTables(Walker):
    """The tree under one CR3, and what of it belongs to this address space."""

    def __init__(self, frames: FrameAllocator) -> None:
        """Allocate an empty PGD. Raises SysError(ENOMEM)."""
        super().__init__(frames, frames.alloc_table())
        self.costs = MemoryCosts()
        self.tables: int = 1  # paging structures of all levels that belong to this tree
        self.rss_anon = 0  # pages
        self.rss_file = 0
        self.unclaimed: int = 0  # PMD and PUD entries without PTE_W, leaves aside
        self.has_leaves = False  # a huge page was mapped here, or in an ancestor, at some time

    def is_unclaimed(self, slot: int) -> bool:
        """True if the table below this entry must be claimed before it is changed."""
        return not self.frames.ram.words[slot] & PTE_W

    # -- claiming -----------------------------------------------------------------------------------

    def claim_tables(self, slots: Slots, huge: bool = False) -> None:
        """Claim the tables below these entries, which lack PTE_W.

        Raises SysError(ENOMEM) with contents as they were; tables claimed before the failure stay claimed.
        """
        entries = self.frames.ram.tables.reshape(-1)[slots]
        shared = self.frames.count[frames_of(entries)] > 1
        broken = slots[shared]
        for i in range(0, len(broken), BATCH):
            self._break(broken[i : i + BATCH], huge)
        if len(broken) < len(slots):
            self._reuse(slots[~shared], huge)

    def claim_table(self, slot: int, huge: bool = False) -> None:
        """`claim_tables` of one."""
        table = (self.frames.ram.words[slot] & PTE_ADDR) >> PAGE_SHIFT
        if self.frames.counts[table] > 1:
            self._break(np.array([slot]), huge)
        else:
            self._reuse(np.array([slot]), huge)

    def _break(self, slots: Slots, huge: bool) -> None:
        """Replace the shared tables below these entries by copies (Linux COW-PTE break_cow_pte).

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
        self.refer_to(pfns, huge)
        self._exchange(old, new, block, cached, len(pfns) - cached, huge)
        frames.count[old] -= 1
        self._point_at(slots, new, huge)
        self.costs.tables_broken += len(slots)
        self.costs.ptes_copied += len(entries)
        if frames.cpu is not None:
            frames.cpu.flush_tlb()
        if frames.listener is not None:
            for slot, was, now in zip(slots.tolist(), old.tolist(), new.tolist(), strict=True):
                frames.listener.table_broken(self.pgd, slot, was, now)

    def _exchange(self, old: Pfns, new: Pfns, block: Entries, file: int, anon: int, huge: bool) -> None:
        """Own `new` tables, with `file` and `anon` counted entries, instead of `old` ones, if those were ours."""
        foreign = self.frames.owner[old] != self.pgd
        if foreign.all():
            self.rss_file += pages_of(file, huge)
            self.rss_anon += pages_of(anon, huge)
        else:
            self.frames.owner[old[~foreign]] = 0
            self.tables -= int(np.count_nonzero(~foreign))
            self.count_pages(block[foreign], 1, huge)
        self.adopt(new)

    def _reuse(self, slots: Slots, huge: bool) -> None:
        """Nobody else uses these tables any more: take them back, and over, as they are."""
        tables = frames_of(self.frames.ram.tables.reshape(-1)[slots])
        foreign = tables[self.frames.owner[tables] != self.pgd]
        if len(foreign):
            self.frames.owner[foreign] = self.pgd
            self.tables += len(foreign)
            self._count_tables(foreign, 1, huge)
        self._point_at(slots, tables, huge)
        self.costs.tables_reused += len(slots)
        if self.frames.listener is not None:
            for slot, table in zip(slots.tolist(), tables.tolist(), strict=True):
                self.frames.listener.table_reused(self.pgd, slot, table)

    def _point_at(self, slots: Slots, tables: Pfns, huge: bool) -> None:
        """Claimed entries."""
        values = tables.astype(np.uint64) << _TWELVE | np.uint64(TABLE_BITS)
        self.frames.ram.tables.reshape(-1)[slots] = values
        self.unclaimed -= len(slots)
        if huge:
            self._upper = None

    # -- owning -------------------------------------------------------------------------------------

    def adopt(self, tables: Pfns) -> None:
        """These new tables, which map pages, belong to this tree."""
        self.frames.owner[tables] = self.pgd
        self.tables += len(tables)
        self.costs.tables_allocated += len(tables)

    def part_with(self, tables: Pfns, huge: bool = False) -> None:
        """Stop owning those of these shared tables that are ours; nobody owns them now (F33)."""
        ours = tables[self.frames.owner[tables] == self.pgd]
        if len(ours):
            self._count_tables(ours, -1, huge)
            self.frames.owner[ours] = 0
            self.tables -= len(ours)

    def _count_tables(self, tables: Pfns, sign: int, huge: bool) -> None:
        for i in range(0, len(tables), BATCH):
            self.count_pages(self.frames.ram.tables[tables[i : i + BATCH]], sign, huge)

    def count_pages(self, entries: Entries, sign: int, huge: bool = False) -> None:
        """Add the pages these entries map to the resident set, or take them off it (sign -1)."""
        self.count_frames(self.counted(entries, huge), sign, huge)

    def counted(self, entries: Entries, huge: bool = False) -> Pfns:
        """The frames that these PTEs map and that are counted: all but the zero page. Or the groups of PMD leaves."""
        if huge:
            return frames_of(entries[(entries & _PS) != 0])
        pfns = frames_of(entries[mapped(entries)])
        return pfns[pfns != self.frames.zero_page]

    def count_frames(self, pfns: Pfns, sign: int, huge: bool = False) -> None:
        """Count these frames, or groups, as resident; no longer, if `sign` is -1."""
        cached = int(np.count_nonzero(self.frames.kind[pfns] & K_CACHE))
        self.rss_file += sign * pages_of(cached, huge)
        self.rss_anon += sign * pages_of(len(pfns) - cached, huge)

    def refer_to(self, pfns: Pfns, huge: bool) -> None:
        """One more entry for each of these frames, or groups."""
        if huge:
            self.frames.get_groups(pfns)
        else:
            self.frames.get_many(pfns)

    # -- huge pages ---------------------------------------------------------------------------------

    def split(self, slot: int) -> None:
        """Map the 2 MiB of the leaf at this PMD entry by a PTE table instead, with the same rights.

        Linux __split_huge_pmd. What the CPU has cached of the leaf stays true, so there is nothing to flush.
        Raises SysError(ENOMEM) with nothing changed. Precondition: its PMD table is claimed.
        """
        frames = self.frames
        leaf = frames.ram.words[slot]
        first = (leaf & PTE_ADDR) >> PAGE_SHIFT
        table = frames.alloc_table(zero=False)
        frames.ram.tables[table] = small_entries(leaf)
        frames.split_leaf(first)
        if frames.pins and frames.is_pinned(np.arange(first, first + GROUP)).any():
            frames.kinds[table] |= K_EXCLUSIVE
        self.adopt(np.array([table]))
        frames.ram.words[slot] = table << PAGE_SHIFT | TABLE_BITS
        self.costs.huge_split += 1
