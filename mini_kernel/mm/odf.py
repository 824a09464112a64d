"""On-demand fork: the child shares the parent's PTE tables, and whoever first writes below one copies it then.

Zhao, Gong, Fonseca: On-Demand-Fork (EuroSys 2021), and its successor, the COW PTE tables of the 6.0.6 patch set.
Upper levels are copied with the W bit of every PMD entry cleared on both sides, and each PTE table gains one
reference. No PTE is read, no frame count touched: the work is proportional to PMD entries, 8 bytes for each 2 MiB.
One level up the same is done with PMD tables that map nothing but huge pages: 8 bytes for each GiB.

Breaking and reusing a shared table is `sharing`'s, as faults and all calls that change mappings need it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import SysError
from mini_kernel.mm.dup import LEFT_OUT, PinnedCopy, copy_pinned, copy_tables, copy_vmas, new_child, pinned_pages
from mini_kernel.mm.frame import Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_SFORK
from mini_kernel.mm.walk import Entries, Slots, Upper, frames_of, is_table
from mini_kernel.x86 import (
    PAGE_SHIFT,
    PGDIR_SHIFT,
    PMD_SHIFT,
    PMD_SIZE,
    PTE_P,
    PTE_PS,
    PTE_W,
    PTRS_PER_TABLE,
    PUD_SHIFT,
    PUD_SIZE,
    TABLE_BITS,
)

_P: Final = np.uint64(PTE_P)
_PS: Final = np.uint64(PTE_PS)
_W_OR_LEAF: Final = np.uint64(PTE_P | PTE_W | PTE_PS)
_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_NONE: Final = np.empty(0, np.int64)


class _Apart(NamedTuple):
    """The PTE tables that are not shared, as positions in the list of all: copied, or not given to the child."""

    copied: Slots
    absent: Slots
    bases: NDArray[np.int64]  # addresses that all tables map
    starts: NDArray[np.int64]  # addresses from which on the PMD tables map
    pinned: list[tuple[int, int]]  # (table, index) of pages the child gets copies of
    pinned_huge: list[tuple[int, int]]  # the same of huge pages, in PMD tables


class _New(NamedTuple):
    """Frames for the child."""

    puds: list[int]
    pmds: list[int]
    targets: Pfns  # for copies of PTE tables
    pinned: list[PinnedCopy]
    pinned_huge: list[PinnedCopy]


def odfork_mm(parent: Mm) -> Mm:
    """A child address space that shares the parent's PTE tables. Raises SysError(ENOMEM) with the parent as it was."""
    frames, pt = parent.frames, parent.pt
    puds, pmds = pt.upper_tables()
    whole, pmds, mixed = _whole(parent, puds, pmds) if pt.has_leaves else ([], pmds, False)
    rows = np.array([pmd.pfn for pmd in pmds], np.int64)
    ours = frames.ram.tables[rows]
    flat = ours.reshape(-1)
    slots = (is_table(flat) if mixed else flat).nonzero()[0]
    tables = frames_of(flat[slots])
    apart = _tables_apart(parent, puds, pmds, slots, tables, mixed)
    child = new_child(parent)
    new = _allocate(parent, child, len(puds), len(pmds), apart)
    if apart is None:
        ours &= _NO_WRITE
        theirs = ours
        pt.unclaimed = len(tables)
    else:
        theirs = _entries_apart(child, ours, slots, new.targets, apart)
        copy_tables(
            parent, child, tables[apart.copied], new.targets, apart.bases[apart.copied], new.pinned, recount=True
        )
        tables = np.delete(tables, np.concatenate([apart.copied, apart.absent]))
        pt.unclaimed = int(np.count_nonzero(ours & _W_OR_LEAF == _P))
    targets = np.array(new.pmds, np.int64)
    frames.ram.tables[rows] = ours
    frames.ram.tables[targets] = theirs
    frames.count[tables] += 1
    child.pt.unclaimed = len(tables)
    pt.costs.tables_shared += len(tables)
    _link(child, puds, pmds, new)
    if apart is not None and mixed:
        copy_tables(parent, child, rows, targets, apart.starts, new.pinned_huge, recount=True, huge=True)
    if pt.has_leaves:
        _share_whole(parent, child, puds, whole, new)
        pt.unclaimed += sum(pt.is_unclaimed(puds[u.parent].pfn << 9 | u.column) for u in (*whole, *pmds))
    copy_vmas(parent, child)
    parent.cpu.flush_tlb()
    if frames.listener is not None:
        frames.listener.tables_shared(pt.pgd, child.pt.pgd, len(tables) + len(whole))
    return child


def _tables_apart(
    parent: Mm, puds: list[Upper], pmds: list[Upper], slots: Slots, tables: Pfns, mixed: bool
) -> _Apart | None:
    """Which of `tables`, below entries `slots` of the PMD tables laid end to end, must not be shared; None if all may.

    EXCLUSIVE ones that hold pinned pages (F20), those that map what a child does not inherit (F21), and those of
    regions for sfork: their pages promise that no fault will come, and a write below a shared table is one (X1).
    Not None if the PMD tables are `mixed`: they map huge pages as well, which are copied.
    """
    areas = [v for v in parent.vmas if v.flags & (LEFT_OUT | VM_SFORK)]
    if not areas and not parent.frames.pins and not mixed:
        return None
    starts = np.array([_start(puds, pmd) for pmd in pmds], np.int64)
    bases = starts[slots >> 9] + ((slots & (PTRS_PER_TABLE - 1)) << PMD_SHIFT)
    copied, absent = np.zeros(len(slots), np.bool_), np.zeros(len(slots), np.bool_)
    for vma in areas:
        first, last = np.searchsorted(bases, [vma.start & -PMD_SIZE, vma.end])
        copied[first:last] = True
        if vma.flags & LEFT_OUT:
            first, last = np.searchsorted(bases, [vma.start + PMD_SIZE - 1 & -PMD_SIZE, vma.end & -PMD_SIZE])
            absent[first:last] = True
    pinned = pinned_pages(parent, tables, bases)
    copied |= np.isin(tables, [table for table, _ in pinned])
    huge = pinned_pages(parent, np.array([pmd.pfn for pmd in pmds], np.int64), starts, huge=True)
    return _Apart(np.flatnonzero(copied & ~absent), np.flatnonzero(absent), bases, starts, pinned, huge)


def _allocate(parent: Mm, child: Mm, puds: int, pmds: int, apart: _Apart | None) -> _New:
    """All that the fork needs. Raises SysError(ENOMEM) with nothing left, the child's PGD included."""
    frames = parent.frames
    pinned: list[PinnedCopy] = []
    pinned_huge: list[PinnedCopy] = []
    upper: list[int] = []
    try:
        if apart is not None and apart.pinned:
            pinned = copy_pinned(parent, apart.pinned)
        if apart is not None and apart.pinned_huge:
            pinned_huge = copy_pinned(parent, apart.pinned_huge, huge=True)
        for number in range(puds + pmds):
            upper.append(frames.alloc_table(zero=number < puds))
        targets = frames.alloc_tables(len(apart.copied), zero=False) if apart is not None else _NONE
    except SysError:
        for pfn in (child.pt.pgd, *upper, *(copy.pfn for copy in pinned)):
            frames.put(pfn)
        frames.put_groups(np.array([copy.pfn for copy in pinned_huge], np.int64))
        raise
    child.pt.tables += len(upper)
    return _New(upper[:puds], upper[puds:], targets, pinned, pinned_huge)


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


def _link(child: Mm, puds: list[Upper], pmds: list[Upper], new: _New) -> None:
    """Point the child's PGD at its PUD tables, and those at its PMD tables."""
    words = child.frames.ram.words
    for pud, pfn in zip(puds, new.puds, strict=True):
        words[child.pt.pgd << 9 | pud.column] = pfn << PAGE_SHIFT | TABLE_BITS
    for pmd, pfn in zip(pmds, new.pmds, strict=True):
        words[new.puds[pmd.parent] << 9 | pmd.column] = pfn << PAGE_SHIFT | TABLE_BITS
        child.frames.owners[pfn] = child.pt.pgd


# -- PMD tables --------------------------------------------------------------------------------------


def _start(puds: list[Upper], pmd: Upper) -> int:
    """The first address that a PMD table maps."""
    return puds[pmd.parent].column << PGDIR_SHIFT | pmd.column << PUD_SHIFT


def _whole(parent: Mm, puds: list[Upper], pmds: list[Upper]) -> tuple[list[Upper], list[Upper], bool]:
    """(PMD tables to be shared, the others, whether any of those maps huge pages).

    Shared is what maps huge pages only, all of which the child inherits.
    """
    frames = parent.frames
    entries = frames.ram.tables[np.array([pmd.pfn for pmd in pmds], np.int64)]
    huge = (entries & _PS).any(axis=1)
    if not huge.any():
        return [], pmds, False
    only_huge = {int(number) for number in np.flatnonzero(huge & ~is_table(entries).any(axis=1))}
    left_out = [v for v in parent.vmas if v.flags & LEFT_OUT]
    whole: list[Upper] = []
    others: list[Upper] = []
    for number, pmd in enumerate(pmds):
        start = _start(puds, pmd)
        shared = number in only_huge and not any(v.start < start + PUD_SIZE and start < v.end for v in left_out)
        if shared and frames.pins:
            shared = not pinned_pages(parent, np.array([pmd.pfn]), np.array([start]), huge=True)
        (whole if shared else others).append(pmd)
    return whole, others, len(whole) < int(np.count_nonzero(huge))


def _share_whole(parent: Mm, child: Mm, puds: list[Upper], whole: list[Upper], new: _New) -> None:
    """Let the child's PUD tables point at these PMD tables as well, and let neither side write through them."""
    frames, words = parent.frames, parent.frames.ram.words
    for pmd in whole:
        slot = puds[pmd.parent].pfn << 9 | pmd.column
        words[slot] &= ~PTE_W
        words[new.puds[pmd.parent] << 9 | pmd.column] = words[slot]
        frames.get(pmd.pfn)
    child.pt.unclaimed += len(whole)
    parent.pt.costs.tables_shared += len(whole)
