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
from mini_kernel.mm.kmem import AREA
from mini_kernel.mm.mm import Mapping, Mm
from mini_kernel.mm.sharing import BATCH
from mini_kernel.mm.vma import VM_DONTCOPY, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, VM_WIPEONFORK, Vma
from mini_kernel.mm.walk import Entries, Links, frames_of, is_table, mapped, pages_of
from mini_kernel.x86 import PAGE_SHIFT, PMD_SHIFT, PTE_ADDR, PTE_PS, PTE_W, PTRS_PER_TABLE, TABLE_BITS, TASK_SIZE

_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_NO_ADDR: Final = np.uint64(~PTE_ADDR & 0xFFFF_FFFF_FFFF_FFFF)
_PS: Final = np.uint64(PTE_PS)
LEFT_OUT: Final = VM_DONTCOPY | VM_WIPEONFORK


class PinnedCopy(NamedTuple):
    """A pinned page, or a huge page that is pinned in part, and the frame or group with the child's copy of it."""

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


def pinned_pages(parent: Mm, tables: Pfns, bases: Pfns, huge: bool = False) -> list[tuple[int, int]]:
    """(table, index) of the private pinned pages in these PTE tables that a child gets; or `huge` ones in PMD tables.

    Clears the mark of tables that hold no pinned page any more.
    """
    shift = PMD_SHIFT if huge else PAGE_SHIFT
    frames = parent.frames
    found: list[tuple[int, int]] = []
    marked = np.flatnonzero(frames.kind[tables] & K_EXCLUSIVE) if frames.pins else ()
    for table, base in ((int(tables[i]), int(bases[i])) for i in marked):
        entries = frames.ram.tables[table]
        pfns = frames_of(entries)
        private = (entries & _PS != 0 if huge else mapped(entries)) & (frames.kind[pfns] & K_CACHE == 0)
        held = np.flatnonzero(private & frames.is_pinned(pfns, huge))
        if not len(held):
            frames.kinds[table] &= ~K_EXCLUSIVE
        for index in held.tolist():
            vma = parent.find(base + (index << shift))
            if vma is not None and not vma.flags & LEFT_OUT:
                found.append((table, index))
    return found


def copy_pinned(parent: Mm, pages: list[tuple[int, int]], huge: bool = False) -> list[PinnedCopy]:
    """Copies of these pages for a child: whoever pinned them goes on with the parent's frame (F20).

    Linux copy_present_page. Raises SysError(ENOMEM) with nothing allocated.
    """
    frames = parent.frames
    n = pages_of(1, huge)
    new = (frames.alloc_groups if huge else frames.alloc_many)(len(pages), zero=False).tolist()
    for (table, index), pfn in zip(pages, new, strict=True):
        source = (frames.ram.words[table << 9 | index] & PTE_ADDR) >> PAGE_SHIFT
        frames.ram.pages[pfn : pfn + n] = frames.ram.pages[source : source + n]
    return [PinnedCopy(table, index, pfn) for (table, index), pfn in zip(pages, new, strict=True)]


def copy_tables(
    parent: Mm,
    child: Mm,
    source: Pfns,
    target: Pfns,
    bases: Pfns,
    pinned: list[PinnedCopy],
    recount: bool,
    huge: bool = False,
) -> None:
    """Copy PTE tables `source`, which map what begins at the ascending `bases`, to `target`.

    Or the `huge` pages that PMD tables map, to what is in the target tables already. Private pages are write-protected
    on both sides. The child's resident set is counted from what it gets if `recount`; else only what is left out is
    taken off it. Cannot fail.
    """
    special = [v for v in parent.vmas if v.flags & (VM_SHARED | LEFT_OUT)]
    for i in range(0, len(source), BATCH):
        part = slice(i, i + BATCH)
        here = [copy for copy in pinned if copy.table in source[part]] if pinned else []
        _copy_batch(parent, child, source[part], target[part], bases[part], special, here, recount, huge)


def _copy_batch(
    parent: Mm,
    child: Mm,
    source: Pfns,
    target: Pfns,
    bases: Pfns,
    special: list[Vma],
    pinned: list[PinnedCopy],
    recount: bool,
    huge: bool,
) -> None:
    tables = parent.frames.ram.tables
    block = tables[source]
    links = np.where(is_table(block), block, np.uint64(0)) if huge else None
    if links is not None:
        block ^= links
    protected = block & _NO_WRITE
    left_out: list[tuple[slice, slice]] = []
    for vma in special:
        for where in _parts(vma, bases, PMD_SHIFT if huge else PAGE_SHIFT):
            protected[where] = block[where]
            if vma.flags & LEFT_OUT:
                left_out.append(where)
    rows = [(int(np.flatnonzero(source == copy.table)[0]), copy) for copy in pinned]
    for row, copy in rows:
        protected[row, copy.column] = block[row, copy.column]
    tables[source] = protected if links is None else protected | links
    for where in left_out:
        if not recount:
            child.pt.count_pages(protected[where], -1, huge)
        protected[where] = 0
    for row, copy in rows:
        protected[row, copy.column] = 0  # the copies come with their reference
    copied = _count(child, protected.reshape(-1), huge) + len(rows)
    for row, copy in rows:
        protected[row, copy.column] = block[row, copy.column] & _NO_ADDR | np.uint64(copy.pfn << PAGE_SHIFT)
    tables[target] = protected if links is None else protected | tables[target]
    if recount:
        child.pt.count_pages(protected, 1, huge)
    parent.pt.costs.ptes_copied += copied
    parent.pt.costs.pages_copied += len(rows)


def _parts(vma: Vma, bases: Pfns, shift: int) -> Iterator[tuple[slice, slice]]:
    """The (rows, columns) of a block of tables with these ascending bases that a VMA covers.

    An entry maps 1 << `shift` bytes, and only such that lie in the VMA as a whole count.
    """
    span = PTRS_PER_TABLE << shift
    lo, hi = vma.start + span - 1 & -span, vma.end & -span
    first, last = np.searchsorted(bases, [lo, hi]).tolist()
    if first < last:
        yield slice(first, last), slice(0, PTRS_PER_TABLE)
    for base in {vma.start & -span, vma.end - 1 & -span}:
        row = int(np.searchsorted(bases, base))
        if row < len(bases) and bases[row] == base and not lo <= base < hi:
            start, end = max(vma.start, base) + (1 << shift) - 1, min(vma.end, base + span)
            yield slice(row, row + 1), slice((start - base) >> shift, (end - base) >> shift)


def _count(child: Mm, entries: Entries, huge: bool) -> int:
    """One more reference for every frame, or group, that these entries map; how many entries map one."""
    here = mapped(entries)
    pfns = frames_of(entries if here.all() else entries[here])
    present = len(pfns)
    zero = child.frames.zero_page
    if present and pfns.min() <= zero:
        pfns = pfns[pfns != zero]
    child.pt.refer_to(pfns, huge)
    return present


def copy_vmas(parent: Mm, child: Mm) -> None:
    """Copy the VMA list and what else of an Mm a child inherits (Linux dup_mmap). The last step of a fork."""
    child.pt.costs = MemoryCosts()
    child.pt.has_leaves = parent.pt.has_leaves
    child.thp = parent.thp
    child.dumpable = parent.dumpable
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
    child.areas_paid = len(child.vmas)
    child.frames.kmem.owe(child.areas_paid * AREA)
    child.start_brk, child.brk = parent.start_brk, parent.brk
    child.barriers = parent.barriers
    child.limits = parent.limits.copy()
    child.arguments, child.environment, child.auxv = parent.arguments, parent.environment, parent.auxv
