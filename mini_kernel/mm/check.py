"""The invariants, recomputed from nothing: what `--check` and the model tests run after every step.

Everything here reads tables and counts only, by its own loops, and raises KernelBug naming the rule that is broken.
"""

from collections import Counter
from collections.abc import Iterable

from mini_kernel.errors import KernelBug
from mini_kernel.mm.frame import K_CACHE, K_TABLE, FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.pgtable import MAPPED
from mini_kernel.mm.vma import VM_EXEC, VM_SHARED, VM_WRITE, Vma
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_NX, PTE_P, PTE_U, PTE_W


def check(frames: FrameAllocator, mms: Iterable[Mm], caches: Iterable[PageCache] = ()) -> None:
    """Check every invariant of the address spaces `mms` and the page caches `caches` (all there are)."""
    references: Counter[int] = Counter({frames.zero_page: 1})
    tables: Counter[int] = Counter()
    seen: set[int] = set()
    mms = list(mms)
    for mm in mms:
        check_vmas(mm)
        _check_tree(mm, references, tables, seen)
    for cache in caches:
        for pfn in cache.pages.values():
            references[pfn] += 1
            if not frames.kind[pfn] & K_CACHE:
                raise KernelBug(f"frame {pfn:#x} is in a page cache but not marked so")
    _check_counts(frames, references, tables)
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


def _check_tree(mm: Mm, references: Counter[int], tables: Counter[int], seen: set[int]) -> None:
    """Count what the tree of one address space refers to, and check each mapped PTE against its VMA (I5, I8)."""
    tables[mm.pt.pgd] += 1
    own = 1
    anon = file = 0
    for level, table, base, entry in _upper_entries(mm):
        if not entry & PTE_U or not entry & PTE_P:
            raise KernelBug(f"level {level} entry {entry:#x} at {base:#x} lacks P or U")
        child = (entry & PTE_ADDR) >> PAGE_SHIFT
        tables[child] += 1
        own += 1
        if level == 2:
            first_time = child not in seen
            seen.add(child)
            a, f = _check_table(mm, child, base, references if first_time else None)
            anon, file = anon + a, file + f
        del table
    if own != mm.pt.tables:
        raise KernelBug(f"I8: {own} paging structures, counted as {mm.pt.tables}")
    if (anon, file) != (mm.rss_anon, mm.rss_file):
        raise KernelBug(f"I8: resident (anon, file) is {(anon, file)}, counted as {(mm.rss_anon, mm.rss_file)}")


def _upper_entries(mm: Mm) -> Iterable[tuple[int, int, int, int]]:
    """(level, table, base address, entry) of every non-zero entry above the PTE tables."""
    words = mm.frames.ram.words
    level_tables = [(mm.pt.pgd, 0)]
    for level, shift in enumerate((39, 30, 21)):
        below: list[tuple[int, int]] = []
        for table, base in level_tables:
            for index, entry in enumerate(words[table << 9 : (table << 9) + 512].tolist()):
                if entry:
                    yield level, table, base + (index << shift), entry
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


def _check_counts(frames: FrameAllocator, references: Counter[int], tables: Counter[int]) -> None:
    """I1, I3: every count equals the recount."""
    used: list[int] = frames.used().tolist()
    for pfn in used:
        count = frames.counts[pfn]
        is_table = frames.kinds[pfn] & K_TABLE
        expected = tables[pfn] if is_table else references[pfn]
        if count != expected:
            rule, what = ("I1", "table") if is_table else ("I3", "frame")
            raise KernelBug(f"{rule}: {what} {pfn:#x} has count {count}, found {expected} references")
    for pfn in list(references) + list(tables):
        if frames.counts[pfn] <= 0:
            raise KernelBug(f"I3: frame {pfn:#x} is referred to but free")


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
    """I4: a frame with more than one owner is write-protected behind every private area."""
    for vma in mm.vmas:
        if vma.flags & VM_SHARED:
            continue
        for r in mm.pt.tables_in(vma.start, vma.end):
            for index in range(r.first, r.last):
                entry = frames.ram.words[r.table << 9 | index]
                pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
                if entry & PTE_W and (frames.counts[pfn] > 1 or frames.kinds[pfn] & K_CACHE):
                    raise KernelBug(f"I4: shared frame {pfn:#x} is writable at {r.base + (index << 12):#x}")
