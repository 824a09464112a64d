"""What every fork of an address space needs: VMAs copied, tables linked, the PTE tables that must be copied copied.

Linux dup_mmap and copy_page_range, done with whole arrays: the parent's PTE tables are one gather, clearing W is
one AND, the child's tables are one scatter, the frame counts one addition. So the cost is that of moving
4 KiB per 2 MiB of memory.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from mini_kernel.ledger import MemoryCosts
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE, Pfns
from mini_kernel.mm.mm import Mapping, Mm
from mini_kernel.mm.pgtable import BATCH
from mini_kernel.mm.vma import VM_DONTCOPY, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, VM_WIPEONFORK, Vma
from mini_kernel.mm.walk import Entries, Links, frames_of, mapped
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_ADDR, PTE_W, PTRS_PER_TABLE, TABLE_BITS, TASK_SIZE

_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_NO_ADDR: Final = np.uint64(~PTE_ADDR & 0xFFFF_FFFF_FFFF_FFFF)
LEFT_OUT: Final = VM_DONTCOPY | VM_WIPEONFORK


class PinnedCopy(NamedTuple):
    """A pinned page, and the frame with the child's copy of it."""

    table: int
    column: int
    pfn: int


def new_child(parent: Mm) -> Mm:
    """An empty address space for a child. Until `copy_vmas` its costs are the parent's, who forks.

    Raises SysError(ENOMEM).
    """
    child = Mm(parent.frames, parent.cpu)
    child.pt.costs = parent.pt.costs
    return child


def link(mm: Mm, links: Links, parents: Pfns, new: Pfns) -> None:
    """Make entry links.column[i] of parents[links.row[i]] point at table new[i]."""
    values = new.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(TABLE_BITS)
    mm.frames.ram.tables[parents[links.row], links.column] = values


def pinned_pages(parent: Mm, tables: Pfns, bases: Pfns) -> list[tuple[int, int]]:
    """(table, index) of the private pinned pages in these PTE tables that a child gets.

    Clears the mark of tables that hold no pinned page any more.
    """
    frames = parent.frames
    found: list[tuple[int, int]] = []
    marked = np.flatnonzero(frames.kind[tables] & K_EXCLUSIVE) if frames.pins else ()
    for table, base in ((int(tables[i]), int(bases[i])) for i in marked):
        entries = frames.ram.tables[table]
        pfns = frames_of(entries)
        held = np.flatnonzero(mapped(entries) & frames.is_pinned(pfns) & (frames.kind[pfns] & K_CACHE == 0))
        if not len(held):
            frames.kinds[table] &= ~K_EXCLUSIVE
        for index in held.tolist():
            vma = parent.find(base + (index << PAGE_SHIFT))
            if vma is not None and not vma.flags & LEFT_OUT:
                found.append((table, index))
    return found


def copy_pinned(parent: Mm, pages: list[tuple[int, int]]) -> list[PinnedCopy]:
    """Copies of these pages for a child: whoever pinned them goes on with the parent's frame (F20).

    Linux copy_present_page. Raises SysError(ENOMEM) with nothing allocated.
    """
    frames = parent.frames
    new = frames.alloc_many(len(pages), zero=False).tolist()
    for (table, index), pfn in zip(pages, new, strict=True):
        source = (frames.ram.words[table << 9 | index] & PTE_ADDR) >> PAGE_SHIFT
        frames.ram.pages[pfn] = frames.ram.pages[source]
    return [PinnedCopy(table, index, pfn) for (table, index), pfn in zip(pages, new, strict=True)]


def copy_tables(
    parent: Mm, child: Mm, source: Pfns, target: Pfns, bases: Pfns, pinned: list[PinnedCopy], recount: bool
) -> None:
    """Copy PTE tables `source`, which map what begins at the ascending `bases`, to `target`.

    Private pages are write-protected on both sides. The child's resident set is counted from what it gets if
    `recount`; else only what is left out is taken off it. Cannot fail.
    """
    special = [v for v in parent.vmas if v.flags & (VM_SHARED | LEFT_OUT)]
    for i in range(0, len(source), BATCH):
        part = slice(i, i + BATCH)
        here = [copy for copy in pinned if copy.table in source[part]] if pinned else []
        _copy_batch(parent, child, source[part], target[part], bases[part], special, here, recount)


def _copy_batch(
    parent: Mm,
    child: Mm,
    source: Pfns,
    target: Pfns,
    bases: Pfns,
    special: list[Vma],
    pinned: list[PinnedCopy],
    recount: bool,
) -> None:
    tables = parent.frames.ram.tables
    block = tables[source]
    protected = block & _NO_WRITE
    left_out: list[tuple[slice, slice]] = []
    for vma in special:
        for where in _parts(vma, bases):
            protected[where] = block[where]
            if vma.flags & LEFT_OUT:
                left_out.append(where)
    rows = [(int(np.flatnonzero(source == copy.table)[0]), copy) for copy in pinned]
    for row, copy in rows:
        protected[row, copy.column] = block[row, copy.column]
    tables[source] = protected
    for where in left_out:
        if not recount:
            child.pt.count_pages(protected[where], -1)
        protected[where] = 0
    for row, copy in rows:
        protected[row, copy.column] = 0  # the copies come with their reference
    copied = _count(child, protected.reshape(-1)) + len(rows)
    for row, copy in rows:
        protected[row, copy.column] = block[row, copy.column] & _NO_ADDR | np.uint64(copy.pfn << PAGE_SHIFT)
    tables[target] = protected
    if recount:
        child.pt.count_pages(protected, 1)
    parent.pt.costs.ptes_copied += copied


def _parts(vma: Vma, bases: Pfns) -> Iterator[tuple[slice, slice]]:
    """The (rows, columns) of a block of PTE tables with these ascending bases that a VMA covers."""
    lo, hi = vma.start + PMD_SIZE - 1 & -PMD_SIZE, vma.end & -PMD_SIZE
    first, last = np.searchsorted(bases, [lo, hi]).tolist()
    if first < last:
        yield slice(first, last), slice(0, PTRS_PER_TABLE)
    for base in {vma.start & -PMD_SIZE, vma.end - 1 & -PMD_SIZE}:
        row = int(np.searchsorted(bases, base))
        if row < len(bases) and bases[row] == base and not lo <= base < hi:
            start, end = max(vma.start, base), min(vma.end, base + PMD_SIZE)
            yield slice(row, row + 1), slice((start - base) >> PAGE_SHIFT, (end - base) >> PAGE_SHIFT)


def _count(child: Mm, entries: Entries) -> int:
    """One more reference for every frame these PTEs map; how many entries map one."""
    here = mapped(entries)
    pfns = frames_of(entries if here.all() else entries[here])
    present = len(pfns)
    zero = child.frames.zero_page
    if present and pfns.min() <= zero:
        pfns = pfns[pfns != zero]
    child.frames.get_many(pfns)
    return present


def copy_vmas(parent: Mm, child: Mm) -> None:
    """Copy the VMA list and what else of an Mm a child inherits (Linux dup_mmap). The last step of a fork."""
    child.pt.costs = MemoryCosts()
    unlocked = 0
    for vma in parent.vmas:
        if vma.flags & VM_DONTCOPY:
            continue
        unlocked |= vma.flags & VM_LOCKED
        new = vma.clone()
        new.flags &= ~(VM_LOCKED | VM_LOCKONFAULT)
        child.vmas.append(new)
        child.starts.append(new.start)
        if new.file is not None:
            new.file.get()
            new.file.cache.mappings.append(Mapping(child, new))
    if unlocked:
        child.merge_range(0, TASK_SIZE)
    child.start_brk, child.brk = parent.start_brk, parent.brk
    child.limits = parent.limits.copy()
    child.arguments, child.environment = parent.arguments, parent.environment
