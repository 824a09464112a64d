"""Classic fork of an address space: every table copied at once, every private page shared copy-on-write.

Linux dup_mmap and copy_page_range, done with whole arrays: the parent's PTE tables are one gather, clearing W is
one AND, the child's tables are one scatter, the frame counts one addition. So the cost is that of moving
4 KiB per 2 MiB of memory.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm.frame import K_CACHE, Pfns
from mini_kernel.mm.mm import BATCH, Mapping, Mm
from mini_kernel.mm.pgtable import Entries, Links, Tree, frames_of, mapped
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.vma import VM_DONTCOPY, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, VM_WIPEONFORK, Vma
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_W, PTRS_PER_TABLE, TABLE_BITS, TASK_SIZE

_NO_WRITE: Final = np.uint64(~PTE_W & 0xFFFF_FFFF_FFFF_FFFF)
_LEFT_OUT: Final = VM_DONTCOPY | VM_WIPEONFORK


def fork_mm(parent: Mm) -> Mm:
    """A child address space with the same contents. Raises SysError(ENOMEM) with the parent as it was."""
    tree = parent.pt.tree()
    child = Mm(parent.frames, parent.cpu)
    try:
        tables = _copy_skeleton(tree, child)
    except SysError:
        parent.frames.put(child.pt.pgd)
        raise
    child.rss_anon, child.rss_file = parent.rss_anon, parent.rss_file
    special = [v for v in parent.vmas if v.flags & (VM_SHARED | _LEFT_OUT)]
    for i in range(0, len(tables), BATCH):
        part = slice(i, i + BATCH)
        _copy_entries(parent, child, tree.pte.child[part], tables[part], tree.pte.base[part], special)
    copy_vmas(parent, child)
    parent.cpu.flush_tlb()
    return child


def _copy_skeleton(tree: Tree, child: Mm) -> Pfns:
    """Give the child its own tables of all levels, linked as the parent's; returns its PTE tables, contents open.

    Raises SysError(ENOMEM) with nothing allocated.
    """
    frames = child.frames
    puds, pmds, ptes = (len(links.child) for links in tree)
    upper = frames.alloc_tables(puds + pmds)
    try:
        tables = frames.alloc_tables(ptes, zero=False)
    except SysError:
        frames.put_many(upper)
        raise
    parents = np.array([child.pt.pgd], dtype=np.int64)
    for links, new in zip(tree, (upper[:puds], upper[puds:], tables), strict=True):
        link(child, links, parents, new)
        parents = new
    child.pt.tables += puds + pmds + ptes
    return tables


def link(mm: Mm, links: Links, parents: Pfns, new: Pfns) -> None:
    """Make entry links.column[i] of parents[links.row[i]] point at table new[i]."""
    values = new.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(TABLE_BITS)
    mm.frames.ram.tables[parents[links.row], links.column] = values


def _copy_entries(parent: Mm, child: Mm, source: Pfns, target: Pfns, bases: Pfns, special: list[Vma]) -> None:
    """Copy PTE tables `source` to `target`, write-protecting private pages on both sides."""
    tables = parent.frames.ram.tables
    block = tables[source]
    protected = block & _NO_WRITE
    left_out: list[tuple[slice, slice]] = []
    for vma in special:
        for where in _parts(vma, bases):
            protected[where] = block[where]
            if vma.flags & _LEFT_OUT:
                left_out.append(where)
    tables[source] = protected
    for where in left_out:
        _leave_out(child, protected[where])
        protected[where] = 0
    tables[target] = protected
    _count(child, protected.reshape(-1))


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


def _leave_out(child: Mm, entries: Entries) -> None:
    """Take pages that the child does not get off its resident set."""
    pfns = frames_of(entries[mapped(entries)])
    pfns = pfns[pfns != child.frames.zero_page]
    cached = int(np.count_nonzero(child.frames.kind[pfns] & K_CACHE))
    child.rss_file -= cached
    child.rss_anon -= len(pfns) - cached


def _count(child: Mm, entries: Entries) -> None:
    """One more reference for every frame these PTEs map."""
    here = mapped(entries)
    pfns = frames_of(entries if here.all() else entries[here])
    zero = child.frames.zero_page
    if len(pfns) and pfns.min() <= zero:
        pfns = pfns[pfns != zero]
    child.frames.get_many(pfns)


def copy_vmas(parent: Mm, child: Mm) -> None:
    """Copy the VMA list and what else of an Mm a child inherits (Linux dup_mmap)."""
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
    child.arguments = parent.arguments


def destroy(mm: Mm) -> None:
    """Free an address space that no task uses: pages, tables, file references (Linux exit_mmap).

    Needs no flush: it will never be loaded again, and loading another drops every translation.
    """
    tree = mm.pt.tree()
    with Gather(None, mm.frames) as tlb:
        tlb.stale()
        mm.drop_tables(tree.pte.child, tlb)
        tlb.release(np.concatenate([[mm.pt.pgd], *(links.child for links in tree)]))
        mm.remove(list(mm.vmas))
    mm.pt.tables = 0
