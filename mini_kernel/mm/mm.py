"""An address space: its VMAs, its page tables, its counters (Linux mm_struct).

Invariant: `vmas` is sorted and disjoint, neighbours that can merge are merged; `starts[i] == vmas[i].start`.
Invariant: a PTE is mapped only inside a VMA.
"""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import SysError
from mini_kernel.hw import Cpu
from mini_kernel.mm.frame import K_CACHE, K_CODE, FrameAllocator
from mini_kernel.mm.kmem import AREA
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.pgtable import PageTables
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.vma import VM_GROWSDOWN, VM_HUGETLB, VM_LOCKED, VM_SEALED, VM_SHARED, VM_WRITE, Vma
from mini_kernel.mm.walk import Entries, Step, frames_of, mapped
from mini_kernel.uapi.errno import EINVAL, ENOMEM, EPERM
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PTE_PS, PTE_SOFT_DIRTY, PTE_W, TASK_SIZE, U64

STACK_TOP = TASK_SIZE - PAGE_SIZE  # without address-space randomisation, as under setarch -R
MMAP_BASE = 0x7FFF_F7FF_F000  # 128 MiB below: room for the stack (Linux mmap_base)
MMAP_MIN_ADDR = 0x10000  # /proc/sys/vm/mmap_min_addr
MAX_MAP_COUNT = 65530  # /proc/sys/vm/max_map_count
STACK_GUARD_GAP = 256 << PAGE_SHIFT  # Linux stack_guard_gap
UNLIMITED = (1 << 64) - 1

#: Where huge pages are given without being asked for (/sys/kernel/mm/transparent_hugepage/enabled).
THP_NEVER, THP_MADVISE, THP_ALWAYS = THP_MODES = ("never", "madvise", "always")


class SharedMemory:
    """The nameless file behind MAP_SHARED|MAP_ANONYMOUS (Linux shmem_zero_setup): lives as long as its mappings."""

    name = "/dev/zero (deleted)"

    def __init__(self, frames: FrameAllocator, size: int) -> None:
        self.cache = PageCache(frames)
        self.cache.size = size
        self.users = 1

    def get(self) -> "SharedMemory":
        """One more mapping."""
        self.users += 1
        return self

    def put(self) -> None:
        """One mapping less; with the last one the pages go."""
        self.users -= 1
        if not self.users:
            self.cache.drop()


class Limits:
    """The resource limits that memory management looks at, in bytes (getrlimit(2))."""

    __slots__ = ("address_space", "data", "locked", "stack")

    def __init__(self) -> None:
        self.address_space = UNLIMITED
        self.data = UNLIMITED
        self.locked = 8 << 20
        self.stack = 8 << 20

    def copy(self) -> "Limits":
        """The same limits for a child."""
        new = Limits()
        new.address_space, new.data, new.locked, new.stack = self.address_space, self.data, self.locked, self.stack
        return new


class Mm:
    """One address space. Tasks that share it (threads, vfork) hold one reference each in `users`."""

    def __init__(self, frames: FrameAllocator, cpu: Cpu) -> None:
        """An empty address space. Raises SysError(ENOMEM)."""
        self.frames = frames
        self.cpu = cpu
        self.pt = PageTables(frames)
        self.vmas: list[Vma] = []
        self.starts: list[int] = []
        self.areas_paid = 0  # VMAs that kernel memory is taken for
        self.packed = MMAP_BASE  # from here up to MMAP_BASE no page is free
        self.users = 1
        self.start_brk = self.brk = 0
        self.limits = Limits()
        self.thp = THP_NEVER
        self.dumpable = True  # PR_SET_DUMPABLE
        self.barriers = 0  # what membarrier(2) was registered for
        self.lock_future = 0  # VM_LOCKED | VM_LOCKONFAULT of mlockall(MCL_FUTURE)
        self.arguments: tuple[int, int] = (0, 0)  # where the argument strings begin and end on the stack
        self.environment: tuple[int, int] = (0, 0)  # the same for the strings behind them
        self.auxv = b""  # the auxiliary vector, as execve(2) put it on the stack

    @property
    def cr3(self) -> int:
        """What the CPU's CR3 holds while this address space is in use."""
        return self.pt.pgd << PAGE_SHIFT

    def walk(self, address: int) -> list[Step]:
        """The entries the CPU reads for an address, top down, up to the first that ends the walk."""
        return self.pt.walk(address)

    @property
    def rss_anon(self) -> int:
        """Resident pages of its own; of the PTE tables it owns, as all resident pages here."""
        return self.pt.rss_anon

    @property
    def rss_file(self) -> int:
        """Resident pages of files and shared memory."""
        return self.pt.rss_file

    @property
    def rss(self) -> int:
        """Resident pages."""
        return self.pt.rss_anon + self.pt.rss_file

    def gather(self) -> Gather:
        """A TLB gather for one operation."""
        return Gather(self.cpu, self.frames)

    # -- VMAs: look-up ------------------------------------------------------------------------------

    def reserve_areas(self, extra: int, beyond: int = 0) -> None:
        """Make sure that `extra` VMAs can be added, for `beyond` more than max_map_count in all.

        Raises SysError(ENOMEM), also for want of kernel memory.
        """
        count = len(self.vmas) + extra
        if count > MAX_MAP_COUNT + beyond:
            raise SysError(ENOMEM)
        if count > self.areas_paid:
            self.frames.kmem.take((count - self.areas_paid) * AREA)
            self.areas_paid = count

    def settle_areas(self) -> None:
        """Give back the kernel memory of VMAs that are gone, unless it is little."""
        surplus = self.areas_paid - len(self.vmas)
        if surplus > 64 or not self.vmas:
            self.frames.kmem.give(surplus * AREA)
            self.areas_paid -= surplus

    def find(self, address: int) -> Vma | None:
        """The VMA that holds `address`."""
        i = bisect_right(self.starts, address) - 1
        if i >= 0 and address < self.vmas[i].end:
            return self.vmas[i]
        return None

    def first_after(self, address: int) -> Vma | None:
        """The first VMA that ends behind `address` (Linux find_vma)."""
        i = self.index_after(address)
        return self.vmas[i] if i < len(self.vmas) else None

    def index_after(self, address: int) -> int:
        """Index of the first VMA that ends behind `address`, len(vmas) if none."""
        i = bisect_right(self.starts, address)
        return i - 1 if i and address < self.vmas[i - 1].end else i

    def overlapping(self, start: int, end: int) -> list[Vma]:
        """The VMAs that overlap [start, end), in order."""
        i = self.index_after(start)
        j = i
        while j < len(self.vmas) and self.vmas[j].start < end:
            j += 1
        return self.vmas[i:j]

    def covered(self, start: int, end: int) -> bool:
        """True if every page of [start, end) lies in some VMA."""
        for vma in self.overlapping(start, end):
            if vma.start > start:
                return False
            start = vma.end
        return start >= end

    def total_pages(self) -> int:
        """Pages in all VMAs (VmSize)."""
        return sum(vma.pages for vma in self.vmas)

    def data_pages(self) -> int:
        """Pages that RLIMIT_DATA counts: private, writable, not the stack (Linux is_data_mapping)."""
        wanted = VM_WRITE
        return sum(v.pages for v in self.vmas if v.flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == wanted)

    def locked_pages(self) -> int:
        """Pages in locked VMAs (VmLck)."""
        return sum(v.pages for v in self.vmas if v.flags & VM_LOCKED)

    # -- VMAs: change -------------------------------------------------------------------------------

    def insert(self, vma: Vma) -> Vma:
        """Add a VMA where none is, merging it with its neighbours. Takes over its file reference.

        Returns the VMA that covers the range now.
        """
        i = bisect_right(self.starts, vma.start)
        self.vmas.insert(i, vma)
        self.starts.insert(i, vma.start)
        if vma.file is not None:
            vma.file.cache.mappings.append(Mapping(self, vma))
        return self.merge_around(i)

    def merge_around(self, i: int) -> Vma:
        """Merge VMA number `i` with its neighbours where possible; returns the result."""
        if i + 1 < len(self.vmas) and self.vmas[i].can_merge(self.vmas[i + 1]):
            self._join(i)
        if i and self.vmas[i - 1].can_merge(self.vmas[i]):
            i -= 1
            self._join(i)
        return self.vmas[i]

    def _join(self, i: int) -> None:
        """Make VMA `i` and the next, which can merge, one."""
        self.vmas[i].end = self.vmas[i + 1].end
        self.vmas[i].soft_clean &= self.vmas[i + 1].soft_clean
        self._forget(i + 1)

    def merge_range(self, start: int, end: int) -> None:
        """Restore the merge invariant in and around [start, end) after flags changed there."""
        i = max(0, self.index_after(start) - 1)
        while i + 1 < len(self.vmas) and self.vmas[i].start <= end:
            if self.vmas[i].can_merge(self.vmas[i + 1]):
                self._join(i)
            else:
                i += 1

    def _forget(self, i: int) -> None:
        """Take VMA `i` off the list and drop its file reference."""
        vma = self.vmas.pop(i)
        del self.starts[i]
        if vma.file is not None:
            mappings = vma.file.cache.mappings
            mappings[:] = [m for m in mappings if m.vma is not vma]
            vma.file.put()

    def split_at(self, address: int) -> None:
        """Make `address` a VMA boundary if it lies inside one. Raises SysError(ENOMEM) at max_map_count."""
        vma = self.find(address)
        if vma is None or vma.start == address:
            return
        self.reserve_areas(1)
        tail = vma.clone(start=address)
        vma.end = address
        i = bisect_right(self.starts, address)
        self.vmas.insert(i, tail)
        self.starts.insert(i, address)
        if tail.file is not None:
            tail.file.get()
            tail.file.cache.mappings.append(Mapping(self, tail))

    def isolate(self, start: int, end: int) -> list[Vma]:
        """Split so that [start, end) has VMA boundaries at both ends; the VMAs inside.

        Huge pages that reach over the ends are split as well (Linux vma_adjust_trans_huge). Raises SysError with
        nothing changed: ENOMEM, or EINVAL for areas that cannot be split there.
        """
        self.check_ends(start, end)
        extra = sum(1 for a in (start, end) if (v := self.find(a)) is not None and v.start != a)
        self.reserve_areas(extra)
        self.pt.cut(start)
        self.pt.cut(end)
        self.split_at(start)
        self.split_at(end)
        return self.overlapping(start, end)

    def check_unsealed(self, start: int, end: int) -> None:
        """Raises SysError(EPERM) if a mapping in [start, end) must stay as it is (mseal(2))."""
        if any(vma.flags & VM_SEALED for vma in self.overlapping(start, end)):
            raise SysError(EPERM)

    def check_ends(self, start: int, end: int) -> None:
        """Raises SysError(EINVAL) if an area of huge pages would be split inside of one (Linux hugetlb_vm_op_split)."""
        for address in (start, end):
            if address & (PMD_SIZE - 1):
                vma = self.find(address)
                if vma is not None and vma.flags & VM_HUGETLB:
                    raise SysError(EINVAL)

    def remove(self, vmas: list[Vma]) -> None:
        """Take these neighbouring VMAs off the list. Their pages must be gone."""
        if vmas:
            i = self.index_after(vmas[0].start)
            if vmas[-1].end > self.packed:
                self.packed = MMAP_BASE
            for _ in vmas:
                self._forget(i)
            self.settle_areas()

    def set_start(self, vma: Vma, start: int) -> None:
        """Move the lower end of a VMA (stack growth); the caller has checked the gap below."""
        i = self.index_after(vma.start)
        if vma.file is not None:
            vma.pgoff -= (vma.start - start) >> PAGE_SHIFT
        vma.start = self.starts[i] = start

    def is_free(self, start: int, end: int) -> bool:
        """True if a new mapping at [start, end) hits no other and no stack's guard gap."""
        i = self.index_after(start)
        return end <= self._floor(i)

    def find_gap(self, length: int, low: int = MMAP_MIN_ADDR, high: int = MMAP_BASE, align: int = PAGE_SIZE) -> int:
        """The highest aligned address of a free range of `length` bytes in [low, high). Raises SysError(ENOMEM)."""
        packed = high == MMAP_BASE
        start = self.packed if packed else high
        i = self.index_after(start)
        top = min(start, self._floor(i))
        while True:
            bottom = self.vmas[i - 1].end if i else low
            if packed and bottom < top:
                packed, self.packed = False, top
            if (top - length & -align) >= max(bottom, low):
                return top - length & -align
            i -= 1
            if i < 0 or bottom <= low:
                raise SysError(ENOMEM)
            top = min(high, self._floor(i))

    def _floor(self, i: int) -> int:
        """The lowest address that VMA `i` keeps others from: its start, less the guard gap of a stack."""
        if i >= len(self.vmas):
            return TASK_SIZE
        vma = self.vmas[i]
        return vma.start - STACK_GUARD_GAP if vma.flags & VM_GROWSDOWN else vma.start

    # -- pages --------------------------------------------------------------------------------------

    def zap_cached(self, start: int, end: int, tlb: Gather) -> None:
        """Unmap the page cache's frames in [start, end), and leave private copies (Linux even_cows == 0).

        Precondition: `pt.claim`.
        """
        for r in self.pt.tables_in(start, end):
            tlb.stale()
            row = self.frames.ram.tables[r.table, r.first : r.last]
            cached = mapped(row) & ((self.frames.kind[frames_of(row)] & K_CACHE) != 0)
            self.pt.drop_entries(row[cached], tlb)
            row[cached] = 0

    def change(self, start: int, end: int, keep: int, add: int, tlb: Gather) -> None:
        """Replace the bits outside `keep` of every mapped PTE in [start, end) by `add` (Linux change_protection).

        Precondition: `pt.claim`.
        """
        tables = self.frames.ram.tables
        _slots, whole, lo, hi = self.pt.whole_tables(start, end)
        for chunk in np.array_split(whole, max(1, len(whole) >> 9)) if len(whole) else ():
            block = tables[chunk]
            rewrite(block, keep, add)
            tables[chunk] = block
        for r in self.pt.edges(start, end, lo, hi):
            rewrite(tables[r.table, r.first : r.last], keep, add)
        if self.pt.has_leaves:
            leaves = self.pt.whole_leaves(start, end)
            block = tables.reshape(-1)[leaves]
            rewrite(block, keep | PTE_PS, add)
            tables.reshape(-1)[leaves] = block
        tlb.stale()

    def drop_empty_tables(self, start: int, end: int) -> None:
        """Free the PTE tables over the unmapped, 2 MiB aligned [start, end): huge pages are to come there.

        Fork leaves such, for what a child does not inherit.
        """
        with self.gather() as tlb:
            for r in list(self.pt.tables_in(start, end)):
                for table in self.pt.detach_empty(r.base):
                    tlb.release_table(table)

    def clear_soft_dirty(self) -> None:
        """Forget which pages were written: the next write to each is a fault again that notes it.

        Linux clear_refs_write(CLEAR_REFS_SOFT_DIRTY). Breaks every shared PTE table, as the others' bits must stay.
        Raises SysError(ENOMEM) with nothing forgotten.
        """
        self.pt.claim(0, TASK_SIZE)
        with self.gather() as tlb:
            for vma in self.vmas:
                self.change(vma.start, vma.end, ~(PTE_W | PTE_SOFT_DIRTY) & U64, 0, tlb)
                vma.soft_clean = True

    def mark_code(self, start: int, end: int) -> None:
        """Remember that the frames mapped in [start, end) may be run from now on."""
        entries = self.pt.read(start, end)
        self.frames.kind[frames_of(entries[mapped(entries)])] |= K_CODE


def rewrite(entries: Entries, keep: int, add: int) -> None:
    """In place: every entry that maps a frame becomes `entry & keep | add`."""
    where: NDArray[np.bool_] = mapped(entries)
    if where.all():
        entries &= np.uint64(keep)
        entries |= np.uint64(add)
    else:
        entries[where] = entries[where] & np.uint64(keep) | np.uint64(add)


class Mapping:
    """A VMA as the page cache it maps sees it: what must go when the file shrinks (Linux i_mmap)."""

    __slots__ = ("mm", "vma")

    def __init__(self, mm: Mm, vma: Vma) -> None:
        self.mm = mm
        self.vma = vma

    def prepare_unmap(self, first: int, last: int) -> None:
        """Make sure that `unmap_pages` cannot fail. Raises SysError(ENOMEM)."""
        start, end = self._addresses(first, last)
        if start < end:
            self.mm.pt.claim(start, end)

    def _addresses(self, first: int, last: int) -> tuple[int, int]:
        """Where this VMA shows file pages [first, last): an empty or reversed range if nowhere."""
        vma = self.vma
        start = vma.start + (max(0, first - vma.pgoff) << PAGE_SHIFT)
        return start, min(vma.end, vma.start + (max(0, last - vma.pgoff) << PAGE_SHIFT))

    def unmap_pages(self, first: int, last: int, copies: bool = True) -> None:
        """Unmap file pages [first, last) wherever this VMA shows them (Linux unmap_mapping_range).

        Precondition: `prepare_unmap`.
        Private copies go as well when the file shrinks (truncate(2)), but not for a hole punched into it.
        """
        start, end = self._addresses(first, last)
        if start < end:
            with self.mm.gather() as tlb:
                if copies:
                    self.mm.pt.zap(start, end, tlb, unlink=False)
                else:
                    self.mm.zap_cached(start, end, tlb)
