"""The invariants, recomputed from nothing: what `--check` and the model tests run after every step.

Everything here reads tables and counts only, decodes entries by itself, and raises KernelBug naming the rule that is
broken. The PTE tables of an address space are looked at many at a time, as arrays.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import KernelBug
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE, K_TABLE, FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import VM_EXEC, VM_HUGETLB, VM_SHARED, VM_WRITE
from mini_kernel.mm.walk import MAPPED
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_ADDR, PTE_NX, PTE_P, PTE_PS, PTE_W, TABLE_BITS

_CHUNK: Final = 256  # PTE tables looked at at once
_P, _W, _ADDR = np.uint64(PTE_P), np.uint64(PTE_W), np.uint64(PTE_ADDR)
_PRESENT_NX = np.uint64(PTE_P | PTE_NX)
_MAPPED, _TWELVE = np.uint64(MAPPED), np.uint64(PAGE_SHIFT)

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]


class Use(NamedTuple):
    """A PMD entry: the PTE table it points at, and the address from which on."""

    table: int
    base: int


class Leaf(NamedTuple):
    """A PMD entry that maps a huge page."""

    table: int
    base: int
    entry: int


class Pages(NamedTuple):
    """The PTEs in use of some tables, or PMD leaves, as parallel arrays."""

    table: Ints
    address: Ints
    entry: Words
    pfn: Ints
    vma: Ints  # the number of the VMA


class Recount:
    """What the tables of all address spaces refer to, counted from nothing."""

    def __init__(self, frames: FrameAllocator) -> None:
        ever = frames.high.frontier if frames.high.frontier > frames.low.end else frames.low.frontier
        self.references = np.zeros(ever, np.int64)  # by pfn, to data frames
        self.references[frames.zero_page] = 1
        self.tables = np.zeros(ever, np.int64)  # by pfn, to paging structures
        self.pins = np.zeros(ever, np.int64)
        for pfn, times in frames.pins.items():
            self.pins[pfn] = times
        self.leaves = np.zeros(len(frames.compound), np.int64)  # by group
        self.claimed: dict[int, bool] = {}  # PMD or PTE table -> an entry that points at it has PTE_W
        self.users: dict[int, set[int]] = {}  # PMD or PTE table -> PGDs of those who map it


class Areas:
    """The VMAs of an address space as arrays: where they are, and what their PTEs may not have."""

    def __init__(self, mm: Mm) -> None:
        vmas = mm.vmas
        self.start = np.array([v.start for v in vmas], np.int64)
        self.end = np.array([v.end for v in vmas], np.int64)
        self.forbidden = np.array(
            [(0 if v.page_bits else PTE_P) | (0 if v.flags & VM_WRITE else PTE_W) for v in vmas], np.uint64
        )
        self.no_code = np.array([not v.flags & VM_EXEC for v in vmas], np.bool_)
        self.private = np.array([not v.flags & VM_SHARED for v in vmas], np.bool_)
        self.huge = np.array([v.flags & VM_HUGETLB for v in vmas], np.bool_)


def check(frames: FrameAllocator, mms: Iterable[Mm], caches: Iterable[PageCache] = ()) -> None:
    """Check every invariant of the address spaces `mms` and the page caches `caches` (all there are)."""
    found = Recount(frames)
    mms = list(mms)
    for mm in mms:
        check_vmas(mm)
        _check_tree(mm, found)
    for cache in caches:
        pfns = np.fromiter(cache.held(), np.int64)
        np.add.at(found.references, pfns, 1)
        if not (frames.kind[pfns] & K_CACHE).all():
            raise KernelBug(f"frame {_first(pfns, frames.kind[pfns] & K_CACHE == 0):#x} is cached but not marked so")
    found.references[frames.kmem.pfns] += 1
    found.references += found.pins
    for group in np.flatnonzero(found.leaves).tolist():
        found.references[group << GROUP_SHIFT : group + 1 << GROUP_SHIFT] += 1
    _check_counts(frames, found)
    _check_sharing(frames, found)
    _check_free(frames)


def _first(values: Ints, where: Bools) -> int:
    """The first of `values` where the condition holds."""
    return int(values[where.argmax()])


def check_vmas(mm: Mm) -> None:
    """I7: sorted, disjoint, page aligned, merged where mergeable."""
    if mm.starts != [v.start for v in mm.vmas]:
        raise KernelBug("I7: the index of VMA starts differs from the VMAs")
    for vma in mm.vmas:
        if (vma.start | vma.end) & (PMD_SIZE - 1 if vma.flags & VM_HUGETLB else 0xFFF) or vma.start >= vma.end:
            raise KernelBug(f"I7: {vma} is empty or not page aligned")
    for a, b in zip(mm.vmas, mm.vmas[1:], strict=False):
        if a.end > b.start:
            raise KernelBug(f"I7: {a} and {b} overlap")
        if a.can_merge(b):
            raise KernelBug(f"I7: {a} and {b} should be one")


def _check_tree(mm: Mm, found: Recount) -> None:
    """Count what the tree of one address space refers to, and check each mapped PTE against its VMA (I4, I5, I8)."""
    found.tables[mm.pt.pgd] += 1
    own = 1
    unclaimed = 0
    fresh: list[Use] = []  # PTE tables not counted yet
    known: list[Use] = []
    leaves: list[Leaf] = []
    counted_before = frozenset(found.claimed)
    for level, table, base, entry in _upper_entries(mm):
        child = (entry & PTE_ADDR) >> PAGE_SHIFT
        if level == 2 and entry & PTE_PS:
            leaves.append(Leaf(table, base, entry))
            continue
        if level == 2 and not found.claimed[table]:
            raise KernelBug(f"PMD table {table:#x} is unclaimed and points at a PTE table at {base:#x}")
        allowed = TABLE_BITS if not level or entry & PTE_W else TABLE_BITS & ~PTE_W
        if entry & ~PTE_ADDR != allowed:
            raise KernelBug(f"level {level} entry {entry:#x} at {base:#x} has other bits than {allowed:#x}")
        found.tables[child] += 1
        if not level:
            own += 1
            continue
        unclaimed += not entry & PTE_W
        own += int(mm.frames.owner[child]) == mm.pt.pgd
        if level == 2:
            (known if child in found.claimed else fresh).append(Use(child, base))
        found.users.setdefault(child, set()).add(mm.pt.pgd)
        found.claimed[child] = found.claimed.get(child, False) or bool(entry & PTE_W)
    if (own, unclaimed) != (mm.pt.tables, mm.pt.unclaimed):
        counted = (mm.pt.tables, mm.pt.unclaimed)
        raise KernelBug(f"I8: (paging structures, unclaimed entries) are {(own, unclaimed)}, counted as {counted}")
    areas = Areas(mm)
    anon, file = _check_leaves(mm, areas, leaves, found, counted_before)
    for uses in (fresh, known):
        for i in range(0, len(uses), _CHUNK):
            a, f = _check_tables(mm, areas, uses[i : i + _CHUNK], found, count=uses is fresh)
            anon, file = anon + a, file + f
    if (anon, file) != (mm.rss_anon, mm.rss_file):
        raise KernelBug(f"I8: resident (anon, file) is {(anon, file)}, counted as {(mm.rss_anon, mm.rss_file)}")


def _upper_entries(mm: Mm) -> Iterable[tuple[int, int, int, int]]:
    """(level, table, base address, entry) of every non-zero entry above the PTE tables."""
    tables = mm.frames.ram.tables
    level_tables = [(mm.pt.pgd, 0)]
    for level, shift in enumerate((39, 30, 21)):
        below: list[tuple[int, int]] = []
        for table, base in level_tables:
            row = tables[table]
            indices = row.nonzero()[0]
            for index, entry in zip(indices.tolist(), row[indices].tolist(), strict=True):
                yield level, table, base + (index << shift), entry
                below.append(((entry & PTE_ADDR) >> PAGE_SHIFT, base + (index << shift)))
        level_tables = below


def _check_tables(mm: Mm, areas: Areas, uses: list[Use], found: Recount, count: bool) -> tuple[int, int]:
    """Check the PTEs of these tables, adding what they refer to if `count`; the resident (anonymous, file) pages.

    Resident is what lies in tables that this address space owns.
    """
    frames = mm.frames
    pages = _pages_of(mm, areas, uses)
    if not len(pages.entry):
        return 0, 0
    _check_rights(mm, areas, pages)
    _check_cow(frames, areas, pages, found)
    counted = pages.pfn != frames.zero_page
    if count:
        np.add.at(found.references, pages.pfn[counted], 1)
    resident = pages.pfn[counted & (frames.owner[pages.table] == mm.pt.pgd)]
    file = int(np.count_nonzero(frames.kind[resident] & K_CACHE))
    return len(resident) - file, file


def _check_leaves(
    mm: Mm, areas: Areas, leaves: list[Leaf], found: Recount, counted_before: frozenset[int]
) -> tuple[int, int]:
    """The same for huge pages, each of which must lie in one area as a whole."""
    if not leaves:
        return 0, 0
    frames = mm.frames
    if not mm.pt.has_leaves:
        raise KernelBug("there are huge pages, which has_leaves denies")
    table, address = np.array([leaf[:2] for leaf in leaves], np.int64).T
    entry = np.array([leaf.entry for leaf in leaves], np.uint64)
    first = ((entry & _ADDR) >> _TWELVE).astype(np.int64)
    wrong = (first & (GROUP - 1) != 0) | (entry & _MAPPED == 0)
    if np.count_nonzero(wrong):
        raise KernelBug(f"the PMD leaf at {_first(address, wrong):#x} is not mapped, or not to a group")
    vma = _areas_of(areas, address)
    outside = address + PMD_SIZE > areas.end[vma]
    if np.count_nonzero(outside):
        raise KernelBug(f"I5: the huge page at {_first(address, outside):#x} reaches out of its VMA")
    pages = Pages(table, address, entry, first, vma)
    _check_rights(mm, areas, pages)
    for number, leaf in enumerate(leaves):
        group = slice(int(first[number]), int(first[number]) + GROUP)
        _check_huge_cow(frames, leaf, group, bool(areas.private[vma[number]]), found)
    fresh = np.array([leaf.table not in counted_before for leaf in leaves], np.bool_)
    np.add.at(found.leaves, first[fresh] >> GROUP_SHIFT, 1)
    resident = first[frames.owner[table] == mm.pt.pgd]
    file = int(np.count_nonzero(frames.kind[resident] & K_CACHE))
    return (len(resident) - file) * GROUP, file * GROUP


def _check_huge_cow(frames: FrameAllocator, leaf: Leaf, group: slice, private: bool, found: Recount) -> None:
    """I4 for a huge page: writable behind a private area only if no other leaf and no PTE maps any of it."""
    if not private:
        return
    pins = found.pins[group]
    shared = frames.compound[group.start >> GROUP_SHIFT] != 1 or (frames.count[group] - pins > 1).any()
    if leaf.entry & PTE_W and (shared or (frames.kind[group] & K_CACHE).any()):
        raise KernelBug(f"I4: a shared huge page is writable at {leaf.base:#x}")
    if pins.any() and not frames.kind[leaf.table] & K_EXCLUSIVE:
        raise KernelBug(f"the pinned huge page {leaf.base:#x} is in a PMD table that is not EXCLUSIVE")


def _areas_of(areas: Areas, address: Ints) -> Ints:
    """The number of the VMA of each address (I5)."""
    vma = np.searchsorted(areas.start, address, "right") - 1
    outside = vma < 0
    if not np.count_nonzero(outside):
        outside = address >= areas.end[vma]
    if np.count_nonzero(outside):
        raise KernelBug(f"I5: page {_first(address, outside):#x} is mapped outside every VMA")
    return vma


def _pages_of(mm: Mm, areas: Areas, uses: list[Use]) -> Pages:
    """What is mapped in these tables, each page with its VMA (I5)."""
    tables, bases = np.array(uses, np.int64).reshape(-1, 2).T
    block = mm.frames.ram.tables[tables]
    rows, columns = block.nonzero()
    entry = block[rows, columns]
    address = bases[rows] + (columns << PAGE_SHIFT)
    unmapped = entry & _MAPPED == 0
    if np.count_nonzero(unmapped):
        raise KernelBug(f"the PTE at {_first(address, unmapped):#x} is neither empty nor mapped")
    vma = _areas_of(areas, address)
    if np.count_nonzero(areas.huge[vma]):
        raise KernelBug(f"small page {_first(address, areas.huge[vma]):#x} in an area of MAP_HUGETLB")
    return Pages(tables[rows], address, entry, ((entry & _ADDR) >> _TWELVE).astype(np.int64), vma)


def _check_rights(mm: Mm, areas: Areas, pages: Pages) -> None:
    """I9's half in the tables: an entry never grants more than its VMA, and nobody may write to the zero page."""
    excess = pages.entry & areas.forbidden[pages.vma] != 0
    code = areas.no_code[pages.vma] & (pages.entry & _PRESENT_NX == _P)
    zero = (pages.pfn == mm.frames.zero_page) & (pages.entry & _W != 0)
    wrong = excess | code | zero
    if np.count_nonzero(wrong):
        i = int(wrong.argmax())
        what = "present or writable, which its VMA forbids" if excess[i] else "writable" if zero[i] else "executable"
        vma = mm.vmas[int(pages.vma[i])]
        raise KernelBug(f"I9: page {int(pages.address[i]):#x} in {vma} is {what}: {int(pages.entry[i]):#x}")


def _check_cow(frames: FrameAllocator, areas: Areas, pages: Pages, found: Recount) -> None:
    """I4: a frame with more than one owner is write-protected behind every private area; R3 allows no exception.

    Whether the PMD entry forbids writing does not matter: the table could be reused as it is. References that are pins
    do not count: a pinned page that one entry maps may be written in place.
    """
    private = areas.private[pages.vma]
    cached = frames.kind[pages.pfn] & K_CACHE != 0
    pins = found.pins[pages.pfn]
    wrong = private & (pages.entry & _W != 0) & (cached | (frames.count[pages.pfn] - pins > 1))
    if np.count_nonzero(wrong):
        raise KernelBug(f"I4: a shared frame is writable at {_first(pages.address, wrong):#x}")
    if frames.pins:
        wrong = private & ~cached & (pins > 0) & (frames.kind[pages.table] & K_EXCLUSIVE == 0)
        if np.count_nonzero(wrong):
            raise KernelBug(f"pinned page {_first(pages.address, wrong):#x} is in a table that is not EXCLUSIVE")


def _check_counts(frames: FrameAllocator, found: Recount) -> None:
    """I1, I3: every count equals the recount."""
    ever = len(found.tables)
    is_table = frames.kind[:ever] & K_TABLE != 0
    expected = np.where(is_table, found.tables, found.references)
    wrong = frames.count[:ever] != expected
    if np.count_nonzero(wrong):
        pfn = int(wrong.argmax())
        rule, what = ("I1", "table") if is_table[pfn] else ("I3", "frame")
        raise KernelBug(f"{rule}: {what} {pfn:#x} has count {frames.counts[pfn]}, found {expected[pfn]} references")
    mixed = np.where(is_table, found.references, found.tables) != 0
    if np.count_nonzero(mixed):
        raise KernelBug(f"I3: frame {int(mixed.argmax()):#x} is referred to, but free or used for something else")
    wrong = frames.compound != found.leaves
    if np.count_nonzero(wrong):
        group = int(wrong.argmax())
        counted = frames.compounds[group]
        raise KernelBug(f"I3: group {group:#x} is mapped by {found.leaves[group]} leaves, counted as {counted}")


def _check_sharing(frames: FrameAllocator, found: Recount) -> None:
    """I2: no write through a shared table. A claimed table has its one user as owner; a pinned page is not shared."""
    for table, claimed in found.claimed.items():
        if frames.counts[table] > 1 and claimed:
            raise KernelBug(f"I2: table {table:#x} has {frames.counts[table]} users, and one may write through it")
        owner = int(frames.owner[table])
        if owner not in found.users[table] and (owner or claimed):
            raise KernelBug(f"I8: table {table:#x} is owned by PGD {owner:#x}, which does not map it")


def _check_free(frames: FrameAllocator) -> None:
    """I6: free store and use are disjoint and complete."""
    pieces: list[Ints] = []
    for zone in (frames.low, frames.high):
        scalars = np.array(zone.free, np.int64)
        if (scalars >= zone.frontier).any():
            raise KernelBug("I6: a frame behind the frontier is on the free list")
        groups = np.array(zone.groups, np.int64)
        if (groups & (GROUP - 1)).any() or frames.compound[groups >> GROUP_SHIFT].any():
            raise KernelBug("I6: a free group is not one")
        pieces += [scalars, *zone.chunks, (groups[:, None] + np.arange(GROUP)).reshape(-1)]
    free = np.concatenate(pieces)
    if len(free) and np.bincount(free).max() > 1:
        raise KernelBug("I6: a frame is free twice")
    if frames.count[free].any():
        raise KernelBug("I6: a frame in use is on the free list")
    used = len(frames.used())
    ever = frames.low.frontier - frames.reserved + frames.high.frontier - frames.low.end
    if used != frames.in_use or used + len(free) != ever:
        raise KernelBug(f"I6: {used} frames used (counted {frames.in_use}) + {len(free)} free of {ever}")
