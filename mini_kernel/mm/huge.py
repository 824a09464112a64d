"""Huge pages, mapped by a leaf in a PMD table: faults on them, filling ranges with them, and making one of 512 small.

Two kinds of area have them. In those of MAP_HUGETLB (hugetlb.py) there is nothing else. In private anonymous memory
they come unasked where the policy says so (`Mm.thp`, madvise(2)), and are split again wherever a part of one is treated
in another way than the rest (Linux mm/huge_memory.c).
"""

from typing import Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm import hugetlb
from mini_kernel.mm.frame import K_CODE
from mini_kernel.mm.mm import THP_ALWAYS, THP_MADVISE, Mm
from mini_kernel.mm.vma import VM_EXEC, VM_HUGEPAGE, VM_HUGETLB, VM_NOHUGEPAGE, VM_SHARED, Vma
from mini_kernel.mm.walk import PTE_PROTNONE, frames_of, mapped
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT
from mini_kernel.uapi.errno import EAGAIN, EINVAL
from mini_kernel.x86 import (
    PAGE_SHIFT,
    PF_WRITE,
    PMD_SHIFT,
    PMD_SIZE,
    PTE_A,
    PTE_ADDR,
    PTE_D,
    PTE_PS,
    PTE_SOFT_DIRTY,
    PTE_W,
    PUD_SIZE,
)

SPLIT: Final = "huge_split"
_NO_WRITE: Final = ~PTE_W
_DIRTY: Final = PTE_D | PTE_SOFT_DIRTY


def repair(mm: Mm, vma: Vma, address: int, error: int) -> str | None:
    """A fault where there is no PTE table: its class; None if small pages are to be used.

    Empty if claiming the PMD table was all; SPLIT if the huge page is small ones now, to be looked at again.
    Raises SysError(ENOMEM), and SysError(ENOSPC) for want of a huge page that cannot be done without.
    """
    words = mm.frames.ram.words
    slot = mm.pt.pmd_slot(address)
    if slot and words[slot]:
        if not error & PF_WRITE:
            return ""
        slot = mm.pt.make_pmd_slot(address)
        entry = words[slot]
        return "" if entry & PTE_W else _write_protected(mm, vma, slot, entry)
    if vma.flags & VM_HUGETLB:
        return _first_shared(mm, vma, address, error) if vma.file is not None else _first(mm, vma, address, error)
    return _first_transparent(mm, vma, address) if is_first(mm, vma, address, error) else None


def is_first(mm: Mm, vma: Vma, address: int, error: int) -> bool:
    """True if this access, where nothing is and no PTE table either, brings a huge page that nobody asked for."""
    base = address & -PMD_SIZE
    return _wanted(mm, vma, error) and vma.start <= base and base + PMD_SIZE <= vma.end


def _wanted(mm: Mm, vma: Vma, error: int) -> bool:
    """True if this access, where nothing is, may bring a huge page unasked: a write to private anonymous memory."""
    if not error & PF_WRITE or vma.file is not None or vma.flags & VM_NOHUGEPAGE:
        return False
    return mm.thp == THP_ALWAYS or (mm.thp == THP_MADVISE and bool(vma.flags & VM_HUGEPAGE))


def is_eligible(mm: Mm, vma: Vma) -> bool:
    """True if some writes to the area bring huge pages unasked (THPeligible of smaps)."""
    fits = hugetlb.round_up(vma.start) < vma.end & -PMD_SIZE
    return fits and not vma.flags & VM_HUGETLB and _wanted(mm, vma, PF_WRITE)


# -- faults ------------------------------------------------------------------------------------------


def _first(mm: Mm, vma: Vma, address: int, error: int) -> str:
    """First access to a private huge page of MAP_HUGETLB. There is no huge page of zeros for reads."""
    first = hugetlb.alloc(mm.frames)
    _install_new(mm, vma, address, first, vma.page_bits | _DIRTY if error & PF_WRITE else vma.page_bits & _NO_WRITE)
    return "huge_zero"


def _first_transparent(mm: Mm, vma: Vma, address: int) -> str | None:
    """First write to a range of 2 MiB that has no PTE table yet; without memory small pages will do."""
    try:
        first = mm.frames.alloc_group()
    except SysError:
        return None
    _install_new(mm, vma, address, first, vma.page_bits | _DIRTY)
    return "huge_zero"


def _first_shared(mm: Mm, vma: Vma, address: int, error: int) -> str:
    """First access in this address space to a huge page of shared memory."""
    assert vma.file is not None
    cache = vma.file.cache
    assert isinstance(cache, hugetlb.HugeCache)
    index = vma.index_of(address) >> GROUP_SHIFT
    new = index not in cache.groups
    first = cache.get_group(index)
    bits = vma.page_bits
    if error & PF_WRITE:
        bits |= _DIRTY
    elif vma.soft_clean:
        bits &= _NO_WRITE  # the first write has to be noted
    slot = mm.pt.make_pmd_slot(address)
    mm.frames.get_groups(np.array([first]))
    _set_leaf(mm, vma, slot, first, bits)
    mm.pt.rss_file += GROUP
    mm.pt.costs.huge_allocated += new
    return "huge_zero" if new else "file"


def _install_new(mm: Mm, vma: Vma, address: int, first: int, bits: int) -> None:
    """Map a new group over `address`, where nothing is. Raises SysError(ENOMEM) with the group given back."""
    try:
        slot = mm.pt.make_pmd_slot(address)
    except SysError:
        mm.frames.put_groups(np.array([first]))
        raise
    _set_leaf(mm, vma, slot, first, bits)
    mm.pt.rss_anon += GROUP
    mm.pt.costs.huge_allocated += 1


def _set_leaf(mm: Mm, vma: Vma, slot: int, first: int, bits: int) -> None:
    if vma.flags & VM_EXEC:
        mm.frames.kind[first : first + GROUP] |= K_CODE
    mm.frames.ram.words[slot] = first << PAGE_SHIFT | bits | PTE_PS
    mm.pt.has_leaves = True


def write_kind(mm: Mm, vma: Vma, entry: int) -> str:
    """What a write to a huge page needs whose leaf, in a table of its own, has no W: a fault class."""
    if vma.flags & VM_SHARED:
        return "shared_write"
    if mm.frames.is_alone((entry & PTE_ADDR) >> PAGE_SHIFT):
        return "cow_reuse"
    return "huge_copy" if vma.flags & VM_HUGETLB else SPLIT


def _write_protected(mm: Mm, vma: Vma, slot: int, entry: int) -> str:
    """A write to a huge page whose leaf has no W, in a PMD table that is ours (Linux hugetlb_wp, do_huge_pmd_wp_page).

    Shared memory needs no look at other mappings of the same code (alias.py): they are in other address spaces, to
    change which flushes every translation.
    """
    frames = mm.frames
    first = (entry & PTE_ADDR) >> PAGE_SHIFT
    kind = write_kind(mm, vma, entry)
    if kind in ("shared_write", "cow_reuse"):
        frames.ram.words[slot] = entry | PTE_W | _DIRTY | PTE_A
        return kind
    if kind == SPLIT:
        mm.pt.split(slot)
        return kind
    new = hugetlb.alloc(frames, zero=False)
    frames.ram.tables[new : new + GROUP] = frames.ram.tables[first : first + GROUP]
    _set_leaf(mm, vma, slot, new, vma.page_bits | _DIRTY)
    mm.cpu.flush_tlb()
    frames.put_groups(np.array([first]))
    mm.pt.costs.huge_copied += 1
    return kind


# -- whole ranges ------------------------------------------------------------------------------------


def part_to_fill(mm: Mm, vma: Vma, start: int, end: int, error: int) -> tuple[int, int]:
    """The part of [start, end), in `vma`, that `fill` is for: aligned, perhaps empty."""
    if not (vma.flags & VM_HUGETLB and vma.file is None) and not _wanted(mm, vma, error):
        return start, start
    lo, hi = hugetlb.round_up(start), end & -PMD_SIZE
    return (lo, hi) if lo < hi else (start, start)


def fill(mm: Mm, vma: Vma, start: int, end: int, error: int) -> None:
    """Map a zeroed huge page wherever nothing is, in the aligned range [start, end) of a private area.

    Does what it can: where memory, or a whole PMD table's worth of it, is not to be had, faults will try again.
    """
    bits = vma.page_bits | _DIRTY if error & PF_WRITE else vma.page_bits & _NO_WRITE
    for base in range(start & -PUD_SIZE, end, PUD_SIZE):
        lo, hi = max(start, base), min(end, base + PUD_SIZE)
        try:
            slot = mm.pt.make_pmd_slot(lo)
            row = mm.frames.ram.tables.reshape(-1)[slot : slot + ((hi - lo) >> PMD_SHIFT)]
            empty = np.flatnonzero(row == 0)
            firsts = mm.frames.alloc_groups(len(empty))
        except SysError:
            return
        if vma.flags & VM_EXEC:
            for first in firsts.tolist():
                mm.frames.kind[first : first + GROUP] |= K_CODE
        row[empty] = firsts.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(bits | PTE_PS)
        mm.pt.has_leaves = True
        mm.pt.rss_anon += len(firsts) << GROUP_SHIFT
        mm.pt.costs.huge_allocated += len(firsts)


def collapse(mm: Mm, vma: Vma, base: int) -> None:
    """MADV_COLLAPSE of the 2 MiB from `base` on: copy what its PTE table maps into one huge page.

    Linux madvise_collapse, hpage_collapse_scan_pmd. Raises SysError with nothing changed: EINVAL if nothing is mapped
    there, EAGAIN if a page is pinned, ENOMEM.
    """
    frames, pt = mm.frames, mm.pt
    if pt.leaf_slot(base):
        return
    entries = pt.read(base, base + PMD_SIZE)
    here = np.flatnonzero(mapped(entries))
    pfns = frames_of(entries[here])
    if not len(here):
        raise SysError(EINVAL)
    if frames.pins and frames.is_pinned(pfns).any():
        raise SysError(EAGAIN)
    slot = pt.make_pmd_slot(base)
    first = frames.alloc_group(zero=len(here) < GROUP)
    frames.ram.tables[first + here] = frames.ram.tables[pfns]
    with mm.gather() as tlb:
        tlb.stale()
        pt.let_go(np.array([slot]), tlb)
        bits = vma.page_bits or PTE_PROTNONE
        _set_leaf(mm, vma, slot, first, bits | _DIRTY)
    pt.rss_anon += GROUP
    pt.costs.huge_allocated += 1
    pt.costs.pages_copied += len(here)
