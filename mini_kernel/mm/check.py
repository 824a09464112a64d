"""The invariants, recomputed from nothing: what `--check` and the model tests run after every step.

Everything here reads tables and counts only, by its own loops, and raises KernelBug naming the rule that is broken.
"""

from collections import Counter
from collections.abc import Iterable

from mini_kernel.errors import KernelBug
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE, K_TABLE, FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import VM_EXEC, VM_SHARED, VM_WRITE, Vma
from mini_kernel.mm.walk import MAPPED
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_NX, PTE_P, PTE_W, TABLE_BITS


class Recount:
    """What the tables of all address spaces refer to, counted from nothing."""

    def __init__(self, frames: FrameAllocator) -> None:
        self.references: Counter[int] = Counter({frames.zero_page: 1})  # to data frames
        self.tables: Counter[int] = Counter()  # to paging structures
        self.claimed: dict[int, bool] = {}  # PTE table -> a PMD entry that points at it has PTE_W
        self.users: dict[int, set[int]] = {}  # PTE table -> PGDs of those who map it


def check(frames: FrameAllocator, mms: Iterable[Mm], caches: Iterable[PageCache] = ()) -> None:
    """Check every invariant of the address spaces `mms` and the page caches `caches` (all there are)."""
    found = Recount(frames)
    mms = list(mms)
    for mm in mms:
        check_vmas(mm)
        _check_tree(mm, found)
    for cache in caches:
        for pfn in cache.pages.values():
            found.references[pfn] += 1
            if not frames.kind[pfn] & K_CACHE:
                raise KernelBug(f"frame {pfn:#x} is in a page cache but not marked so")
    found.references.update(frames.pins)
    _check_counts(frames, found)
    _check_sharing(frames, found)
    _check_free(frames)
    for mm in mms:
        _check_cow(frames, mm)


def check_vmas(mm: Mm) -> None:
    """I7: sorted, disjoint, page aligned, merged where mergeable."""
    if mm.starts != [v.start for v in mm.vmas]:
        raise KernelBug("I7: the index of VMA starts differs from the VMAs")
    for vma in mm.vmas:
        if (vma.start | vma.end) & 0xFFF or vma.start >= vma.end:
            raise KernelBug(f"I7: {vma} is empty or not page aligned")
    for a, b in zip(mm.vmas, mm.vmas[1:], strict=False):
        if a.end > b.start:
            raise KernelBug(f"I7: {a} and {b} overlap")
        if a.can_merge(b):
            raise KernelBug(f"I7: {a} and {b} should be one")


def _check_tree(mm: Mm, found: Recount) -> None:
    """Count what the tree of one address space refers to, and check each mapped PTE against its VMA (I5, I8)."""
    found.tables[mm.pt.pgd] += 1
    own = 1
    anon = file = unclaimed = 0
    for level, base, entry in _upper_entries(mm):
        child = (entry & PTE_ADDR) >> PAGE_SHIFT
        allowed = TABLE_BITS if level < 2 or entry & PTE_W else TABLE_BITS & ~PTE_W
        if entry & ~PTE_ADDR != allowed:
            raise KernelBug(f"level {level} entry {entry:#x} at {base:#x} has other bits than {allowed:#x}")
        found.tables[child] += 1
        if level < 2:
            own += 1
            continue
        unclaimed += not entry & PTE_W
        a, f = _check_table(mm, child, base, None if child in found.claimed else found.references)
        found.users.setdefault(child, set()).add(mm.pt.pgd)
        found.claimed[child] = found.claimed.get(child, False) or bool(entry & PTE_W)
        if mm.frames.owner[child] == mm.pt.pgd:
            own, anon, file = own + 1, anon + a, file + f
    if (own, unclaimed) != (mm.pt.tables, mm.pt.unclaimed):
        counted = (mm.pt.tables, mm.pt.unclaimed)
        raise KernelBug(f"I8: (paging structures, unclaimed PMD entries) are {(own, unclaimed)}, counted as {counted}")
    if (anon, file) != (mm.rss_anon, mm.rss_file):
        raise KernelBug(f"I8: resident (anon, file) is {(anon, file)}, counted as {(mm.rss_anon, mm.rss_file)}")


def _upper_entries(mm: Mm) -> Iterable[tuple[int, int, int]]:
    """(level, base address, entry) of every non-zero entry above the PTE tables."""
    words = mm.frames.ram.words
    level_tables = [(mm.pt.pgd, 0)]
    for level, shift in enumerate((39, 30, 21)):
        below: list[tuple[int, int]] = []
        for table, base in level_tables:
            for index, entry in enumerate(words[table << 9 : (table << 9) + 512].tolist()):
                if entry:
                    yield level, base + (index << shift), entry
                    below.append(((entry & PTE_ADDR) >> PAGE_SHIFT, base + (index << shift)))
        level_tables = below


def _check_table(mm: Mm, table: int, base: int, references: Counter[int] | None) -> tuple[int, int]:
    """Check the PTEs of one table; returns its resident (anonymous, file) pages."""
    anon = file = 0
    vma: Vma | None = None
    for index, entry in enumerate(mm.frames.ram.words[table << 9 : (table << 9) + 512].tolist()):
        if not entry:
            continue
        address = base + (index << PAGE_SHIFT)
        if not entry & MAPPED:
            raise KernelBug(f"PTE {entry:#x} at {address:#x} is neither empty nor mapped")
        if vma is None or not vma.start <= address < vma.end:
            vma = mm.find(address)
        if vma is None:
            raise KernelBug(f"I5: page {address:#x} is mapped outside every VMA")
        _check_rights(vma, address, entry)
        pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
        if pfn == mm.frames.zero_page:
            if entry & PTE_W:
                raise KernelBug(f"the zero page is writable at {address:#x}")
            continue
        if references is not None:
            references[pfn] += 1
        if mm.frames.kinds[pfn] & K_CACHE:
            file += 1
        else:
            anon += 1
    return anon, file


def _check_rights(vma: Vma, address: int, entry: int) -> None:
    """I9's half in the tables: an entry never grants more than its VMA."""
    if entry & PTE_P and not vma.page_bits:
        raise KernelBug(f"page {address:#x} is present in PROT_NONE {vma}")
    if entry & PTE_W and not vma.flags & VM_WRITE:
        raise KernelBug(f"page {address:#x} is writable in {vma}")
    if entry & PTE_P and not entry & PTE_NX and not vma.flags & VM_EXEC:
        raise KernelBug(f"page {address:#x} is executable in {vma}")


def _check_counts(frames: FrameAllocator, found: Recount) -> None:
    """I1, I3: every count equals the recount."""
    used: list[int] = frames.used().tolist()
    for pfn in used:
        count = frames.counts[pfn]
        is_table = frames.kinds[pfn] & K_TABLE
        expected = found.tables[pfn] if is_table else found.references[pfn]
        if count != expected:
            rule, what = ("I1", "table") if is_table else ("I3", "frame")
            raise KernelBug(f"{rule}: {what} {pfn:#x} has count {count}, found {expected} references")
    for pfn in list(found.references) + list(found.tables):
        if frames.counts[pfn] <= 0:
            raise KernelBug(f"I3: frame {pfn:#x} is referred to but free")


def _check_sharing(frames: FrameAllocator, found: Recount) -> None:
    """I2: no write through a shared table. A claimed table has its one user as owner; a pinned page is not shared."""
    for table, claimed in found.claimed.items():
        if frames.counts[table] > 1 and claimed:
            raise KernelBug(f"I2: PTE table {table:#x} has {frames.counts[table]} users, and one may write through it")
        owner = int(frames.owner[table])
        if owner not in found.users[table] and (owner or claimed):
            raise KernelBug(f"I8: PTE table {table:#x} is owned by PGD {owner:#x}, which does not map it")


def _check_free(frames: FrameAllocator) -> None:
    """I6: free store and use are disjoint and complete."""
    free: list[int] = []
    for zone in (frames.low, frames.high):
        free += zone.free + [pfn for chunk in zone.chunks for pfn in chunk.tolist()]
        free_ok = all(pfn < zone.frontier for pfn in zone.free)
        if not free_ok:
            raise KernelBug("I6: a frame behind the frontier is on the free list")
    if len(set(free)) != len(free):
        raise KernelBug("I6: a frame is free twice")
    used = len(frames.used())
    if any(frames.counts[pfn] for pfn in free):
        raise KernelBug("I6: a frame in use is on the free list")
    ever = frames.low.frontier - frames.reserved + frames.high.frontier - frames.low.end
    if used != frames.in_use or used + len(free) != ever:
        raise KernelBug(f"I6: {used} frames used (counted {frames.in_use}) + {len(free)} free of {ever}")


def _check_cow(frames: FrameAllocator, mm: Mm) -> None:
    """I4: a frame with more than one owner is write-protected behind every private area; R3 allows no exception.

    Whether the PMD entry forbids writing does not matter: the table could be reused as it is.
    """
    for vma in mm.vmas:
        if vma.flags & VM_SHARED:
            continue
        for r in mm.pt.tables_in(vma.start, vma.end):
            exclusive = frames.kinds[r.table] & K_EXCLUSIVE
            for index in range(r.first, r.last):
                entry = frames.ram.words[r.table << 9 | index]
                pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
                if entry & PTE_W and (_owners(frames, pfn) > 1 or frames.kinds[pfn] & K_CACHE):
                    raise KernelBug(f"I4: shared frame {pfn:#x} is writable at {r.base + (index << 12):#x}")
                if entry & MAPPED and pfn in frames.pins and not frames.kinds[pfn] & K_CACHE and not exclusive:
                    raise KernelBug(f"pinned frame {pfn:#x} is in PTE table {r.table:#x}, which is not EXCLUSIVE")


def _owners(frames: FrameAllocator, pfn: int) -> int:
    """References other than pins: a pinned page that one entry maps may be written in place."""
    return frames.counts[pfn] - frames.pins.get(pfn, 0)
