"""On-demand fork: the child shares the parent's PTE tables, and whoever first writes below one copies it then.

Zhao, Gong, Fonseca: On-Demand-Fork (EuroSys 2021), and its successor, the COW PTE tables of the 6.0.6 patch set.
Upper levels are copied with the W bit of every PMD entry cleared on both sides, and each PTE table gains one
reference. No PTE is read, no frame count touched: the work is proportional to PMD entries, 8 bytes for each 2 MiB.

Breaking and reusing a shared table is `pgtable`'s, as faults and all calls that change mappings need it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import SysError
from mini_kernel.mm.dup import LEFT_OUT, PinnedCopy, copy_pinned, copy_tables, copy_vmas, link, new_child, pinned_pages
from mini_kernel.mm.frame import Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Entries, Links, frames_of
from mini_kernel.x86 import PAGE_SHIFT, PMD_SHIFT, PMD_SIZE, PTE_W, PTRS_PER_TABLE, TABLE_BITS

_W: Final = np.uint64(PTE_W)
_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
Slots = NDArray[np.int64]


class _Apart(NamedTuple):
    """The PTE tables that are not shared, as positions in the list of all: copied, or not given to the child."""

    copied: Slots
    absent: Slots
    bases: NDArray[np.int64]  # addresses that all tables map
    pinned: list[tuple[int, int]]  # (table, index) of pages the child gets copies of


def odfork_mm(parent: Mm) -> Mm:
    """A child address space that shares the parent's PTE tables. Raises SysError(ENOMEM) with the parent as it was."""
    frames, pt = parent.frames, parent.pt
    pud, pmd = pt.upper_levels()
    ours = frames.ram.tables[pmd.child]
    slots = np.flatnonzero(ours)
    tables = frames_of(ours.reshape(-1)[slots])
    apart = _tables_apart(parent, pmd, slots, tables)
    child = new_child(parent)
    n = len(pud.child), len(pmd.child)
    upper, targets, pinned = _allocate(parent, child, sum(n), apart)
    child.pt.tables += len(upper)
    if apart is None:
        ours &= _NO_WRITE
        theirs = ours
    else:
        theirs = _entries_apart(child, ours, slots, targets, apart)
        copy_tables(parent, child, tables[apart.copied], targets, apart.bases[apart.copied], pinned, recount=True)
        tables = np.delete(tables, np.concatenate([apart.copied, apart.absent]))
    frames.ram.tables[pmd.child] = ours
    frames.ram.tables[upper[n[0] :]] = theirs
    frames.count[tables] += 1
    pt.unclaimed = len(tables) if apart is None else int(np.count_nonzero((ours != 0) & (ours & _W == 0)))
    child.pt.unclaimed = len(tables)
    pt.costs.tables_shared += len(tables)
    link(child, pud, np.array([child.pt.pgd]), upper[: n[0]])
    link(child, pmd, upper[: n[0]], upper[n[0] :])
    copy_vmas(parent, child)
    parent.cpu.flush_tlb()
    return child


def _tables_apart(parent: Mm, pmd: Links, slots: Slots, tables: Pfns) -> _Apart | None:
    """Which of `tables`, below entries `slots` of the PMD tables laid end to end, must not be shared; None if all may.

    EXCLUSIVE ones that hold pinned pages (F20), and those that map what a child does not inherit (F21).
    """
    left_out = [v for v in parent.vmas if v.flags & LEFT_OUT]
    if not left_out and not parent.frames.pins:
        return None
    bases = pmd.base[slots >> 9] + ((slots & (PTRS_PER_TABLE - 1)) << PMD_SHIFT)
    copied, absent = np.zeros(len(slots), np.bool_), np.zeros(len(slots), np.bool_)
    for vma in left_out:
        first, last = np.searchsorted(bases, [vma.start & -PMD_SIZE, vma.end])
        copied[first:last] = True
        first, last = np.searchsorted(bases, [vma.start + PMD_SIZE - 1 & -PMD_SIZE, vma.end & -PMD_SIZE])
        absent[first:last] = True
    pinned = pinned_pages(parent, tables, bases)
    copied |= np.isin(tables, [table for table, _ in pinned])
    return _Apart(np.flatnonzero(copied & ~absent), np.flatnonzero(absent), bases, pinned)


def _allocate(parent: Mm, child: Mm, upper: int, apart: _Apart | None) -> tuple[Pfns, Pfns, list[PinnedCopy]]:
    """All that the fork needs: (upper tables, PTE tables for copies, copies of pinned pages).

    Raises SysError(ENOMEM) with nothing left, the child's PGD included.
    """
    frames = parent.frames
    pinned: list[PinnedCopy] = []
    try:
        if apart is not None and apart.pinned:
            pinned = copy_pinned(parent, apart.pinned)
        new = frames.alloc_tables(upper + (len(apart.copied) if apart is not None else 0))
    except SysError:
        frames.put_many(np.array([child.pt.pgd, *(copy.pfn for copy in pinned)], np.int64))
        raise
    return new[:upper], new[upper:], pinned


def _entries_apart(child: Mm, ours: Entries, slots: Slots, targets: Pfns, apart: _Apart) -> Entries:
    """Write-protect what is shared in `ours`, the parent's PMD tables; returns the child's, copies in place."""
    child.pt.adopt(targets)
    shared = np.delete(slots, np.concatenate([apart.copied, apart.absent]))
    theirs = np.zeros_like(ours)
    ours.reshape(-1)[shared] &= _NO_WRITE
    theirs.reshape(-1)[shared] = ours.reshape(-1)[shared]
    entries = targets.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(TABLE_BITS)
    theirs.reshape(-1)[slots[apart.copied]] = entries
    return theirs
