"""What smaps counts: the pages of a range as its PTE tables map them (Linux smaps_pte_range), whoever owns the tables.

So a range whose table another process owns (on-demand fork) shows here what is mapped, while VmRSS of status does not
count it. A page's share (Pss) is one part of those who map it: a frame's count is the number of PTE tables that map
it, and a table that N address spaces share stands for N. Other tables of the same frame may be shared as well; that
is not looked up, so Pss is an upper bound then. A huge page counts as its 512 pages; one of MAP_HUGETLB is no part of
any resident set, here as in VmRSS, and has lines of its own (Linux smaps_hugetlb_range).

Nothing here changes a table (F95).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import K_CACHE, FrameAllocator, Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_HUGETLB
from mini_kernel.mm.walk import Entries, Slots, frames_of, mapped, small_entries
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT
from mini_kernel.x86 import PAGE_SIZE, PTE_A, PTE_D, PTRS_PER_TABLE

_BATCH: Final = 64  # PTE tables looked at together
_PSS_SHIFT: Final = 12  # shares are kept in 1/4096 bytes, as in Linux
_A: Final = np.uint64(PTE_A)
_D: Final = np.uint64(PTE_D)

Counts = NDArray[np.int64]


class Usage:
    """Bytes of some range, by the names of smaps; the shares in 1/4096 bytes."""

    __slots__ = (
        "anon_huge",
        "anonymous",
        "private_clean",
        "private_dirty",
        "private_hugetlb",
        "pss",
        "pss_anon",
        "pss_dirty",
        "pss_locked",
        "pss_shmem",
        "referenced",
        "rss",
        "shared_clean",
        "shared_dirty",
        "shared_hugetlb",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    rss: int
    pss: int
    pss_anon: int
    pss_dirty: int
    pss_shmem: int
    pss_locked: int
    shared_clean: int
    shared_dirty: int
    private_clean: int
    private_dirty: int
    referenced: int
    anonymous: int
    anon_huge: int
    shared_hugetlb: int
    private_hugetlb: int

    def add(self, other: "Usage") -> None:
        """Add another range."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def sharers(frames: FrameAllocator, pfns: Pfns, table_counts: Counts) -> Counts:
    """How many address spaces map each of these frames, at least.

    `table_counts` holds the count of the PTE table each was found in. A page cache's own reference and pins are not
    mappings.
    """
    leaves = frames.compound[pfns >> GROUP_SHIFT]  # all of them are one in the count
    n = frames.count[pfns] + np.maximum(leaves - 1, 0) + (table_counts - 1) - ((frames.kind[pfns] & K_CACHE) != 0)
    if frames.pins:
        for i in np.flatnonzero(frames.is_pinned(pfns)).tolist():
            n[i] -= frames.pins[int(pfns[i])]
    return np.maximum(n, 1)


def usage_of(mm: Mm, start: int, end: int) -> Usage:
    """Count the pages mapped in [start, end)."""
    frames, usage = mm.frames, Usage()
    _slots, whole, lo, hi = mm.pt.whole_tables(start, end)
    for i in range(0, len(whole), _BATCH):
        part = whole[i : i + _BATCH]
        _count(
            frames,
            frames.ram.tables[part].reshape(-1),
            np.repeat(frames.count[part].astype(np.int64), PTRS_PER_TABLE),
            usage,
        )
    for r in mm.pt.edges(start, end, lo, hi):
        row = frames.ram.tables[r.table, r.first : r.last]
        _count(frames, row, np.full(len(row), frames.counts[r.table]), usage)
    if mm.pt.has_leaves:
        _count_leaves(mm, mm.pt.whole_leaves(start, end), usage)
    return usage


def hugetlb_usage_of(mm: Mm, start: int, end: int) -> Usage:
    """The same for an area of MAP_HUGETLB."""
    usage = Usage()
    found = usage_of(mm, start, end)
    usage.shared_hugetlb = found.shared_clean + found.shared_dirty
    usage.private_hugetlb = found.private_clean + found.private_dirty
    return usage


def _count_leaves(mm: Mm, slots: Slots, usage: Usage) -> None:
    """The huge pages that these PMD entries map."""
    frames = mm.frames
    for i in range(0, len(slots), _BATCH):
        part = slots[i : i + _BATCH]
        leaves = frames.ram.tables.reshape(-1)[part]
        small = np.concatenate([small_entries(leaf) for leaf in leaves.tolist()])
        _count(frames, small, np.repeat(frames.count[part >> 9].astype(np.int64), GROUP), usage)
        anonymous = frames.kind[frames_of(leaves)] & K_CACHE == 0
        usage.anon_huge += _bytes(anonymous) << GROUP_SHIFT


class Hugetlb(NamedTuple):
    """Pages of 4 KiB that huge pages of MAP_HUGETLB make up."""

    mapped: int
    own_anon: int  # counted in Mm.rss_anon
    own_file: int


def hugetlb_pages(mm: Mm) -> Hugetlb:
    """What areas of MAP_HUGETLB map. VmRSS is without it."""
    areas = [vma for vma in mm.vmas if vma.flags & VM_HUGETLB] if mm.pt.has_leaves else []
    if not areas:
        return Hugetlb(0, 0, 0)
    frames = mm.frames
    slots = np.concatenate([mm.pt.whole_leaves(vma.start, vma.end) for vma in areas])
    own = slots[frames.owner[slots >> 9] == mm.pt.pgd]
    cached = frames.kind[frames_of(frames.ram.tables.reshape(-1)[own])] & K_CACHE != 0
    file = int(np.count_nonzero(cached))
    return Hugetlb(len(slots) << GROUP_SHIFT, len(own) - file << GROUP_SHIFT, file << GROUP_SHIFT)


def _count(frames: FrameAllocator, entries: Entries, table_counts: Counts, usage: Usage) -> None:
    """Linux smaps_account for each page but the zero page."""
    here = mapped(entries)
    here[here] = frames_of(entries[here]) != frames.zero_page
    entries, pfns = entries[here], frames_of(entries[here])
    if not len(pfns):
        return
    users = sharers(frames, pfns, table_counts[here])
    share = (PAGE_SIZE << _PSS_SHIFT) // users
    shared, dirty = users > 1, (entries & _D) != 0
    anonymous = (frames.kind[pfns] & K_CACHE) == 0
    usage.rss += PAGE_SIZE * len(pfns)
    usage.pss += int(share.sum())
    usage.pss_dirty += int(share[dirty].sum())
    usage.pss_anon += int(share[anonymous].sum())
    usage.referenced += _bytes((entries & _A) != 0)
    usage.anonymous += _bytes(anonymous)
    usage.shared_dirty += _bytes(shared & dirty)
    usage.shared_clean += _bytes(shared & ~dirty)
    usage.private_dirty += _bytes(~shared & dirty)
    usage.private_clean += _bytes(~shared & ~dirty)


def _bytes(pages: NDArray[np.bool_]) -> int:
    return PAGE_SIZE * int(np.count_nonzero(pages))


def owned_pages(mm: Mm, start: int, end: int) -> int:
    """Pages of the page cache mapped in [start, end) through tables this address space owns."""
    frames, total = mm.frames, 0
    for r in mm.pt.tables_in(start, end):
        if frames.owner[r.table] == mm.pt.pgd:
            row = frames.ram.tables[r.table, r.first : r.last]
            total += int(np.count_nonzero(frames.kind[frames_of(row[mapped(row)])] & K_CACHE))
    return total
