"""What smaps counts: the pages of a range as its PTE tables map them (Linux smaps_pte_range), whoever owns the tables.

So a range whose table another process owns (on-demand fork) shows here what is mapped, while VmRSS of status does not
count it. A page's share (Pss) is one part of those who map it: a frame's count is the number of PTE tables that map
it, and a table that N address spaces share stands for N. Other tables of the same frame may be shared as well; that
is not looked up, so Pss is an upper bound then.

Nothing here changes a table (F95).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import K_CACHE, FrameAllocator, Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Entries, frames_of, mapped
from mini_kernel.x86 import PAGE_SIZE, PTE_A, PTE_D, PTRS_PER_TABLE

_BATCH: Final = 64  # PTE tables looked at together
_PSS_SHIFT: Final = 12  # shares are kept in 1/4096 bytes, as in Linux
_A: Final = np.uint64(PTE_A)
_D: Final = np.uint64(PTE_D)

Counts = NDArray[np.int64]


class Usage:
    """Bytes of some range, by the names of smaps; the shares in 1/4096 bytes."""

    __slots__ = (
        "anonymous",
        "private_clean",
        "private_dirty",
        "pss",
        "pss_anon",
        "pss_dirty",
        "pss_locked",
        "pss_shmem",
        "referenced",
        "rss",
        "shared_clean",
        "shared_dirty",
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

    def add(self, other: "Usage") -> None:
        """Add another range."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def sharers(frames: FrameAllocator, pfns: Pfns, table_counts: Counts) -> Counts:
    """How many address spaces map each of these frames, at least.

    `table_counts` holds the count of the PTE table each was found in. A page cache's own reference and pins are not
    mappings.
    """
    n = frames.count[pfns] + (table_counts - 1) - ((frames.kind[pfns] & K_CACHE) != 0)
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
    return usage


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
