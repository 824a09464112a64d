"""Areas of MAP_HUGETLB: memory that is only ever mapped by pages of 2 MiB (Linux mm/hugetlb.c, fs/hugetlbfs).

Such an area begins and ends at a multiple of 2 MiB, is never split elsewhere, and never falls back to small pages.
There is no pool set aside: what memory there is will do, and a fault that finds none is SIGBUS, as with an empty pool.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm.frame import K_CACHE, FrameAllocator
from mini_kernel.mm.mm import Mm, SharedMemory
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import VM_DONTEXPAND, VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT
from mini_kernel.uapi.errno import EINVAL, ENOMEM, ENOSPC
from mini_kernel.uapi.mman import MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_HUGE_MASK, MAP_HUGE_SHIFT, MAP_NORESERVE
from mini_kernel.x86 import PAGE_SHIFT, PMD_SHIFT, PMD_SIZE, PUD_SHIFT

NAME: Final = "/anon_hugepage (deleted)"  # as in /proc/pid/maps
FLAGS: Final = VM_HUGETLB | VM_DONTEXPAND


def round_up(length: int) -> int:
    """The next multiple of 2 MiB."""
    return length + PMD_SIZE - 1 & -PMD_SIZE


def check_request(mm: Mm, address: int, length: int, flags: int) -> tuple[int, int]:
    """(address, length) of an mmap(2) with MAP_HUGETLB, rounded to huge pages.

    Raises SysError(EINVAL) for a size of page that there is none of and for a fixed address that does not fit it,
    SysError(ENOMEM) for pages of 1 GiB, of which the pool is empty, and for more than memory could ever hold.
    """
    size = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK
    if size == PUD_SHIFT:
        raise SysError(ENOMEM)
    if size not in (0, PMD_SHIFT):
        raise SysError(EINVAL)
    length = round_up(length)
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        if address & (PMD_SIZE - 1):
            raise SysError(EINVAL)
    else:
        address = round_up(address)
    if not flags & MAP_NORESERVE and length >> PMD_SHIFT > mm.frames.group_limit():
        raise SysError(ENOMEM)
    return address, length


def area_flags(vm_flags: int) -> int:
    """The VM_* flags of such an area; it is never locked, as it is never paged out (Linux mmap_region)."""
    return vm_flags & ~(VM_LOCKED | VM_LOCKONFAULT) | FLAGS


def check_move(old: int, old_length: int, new: int, new_length: int) -> tuple[int, int]:
    """(old length, new length) for mremap(2), rounded. Raises SysError(EINVAL) for parts of pages and for growth."""
    old_length, new_length = round_up(old_length), round_up(new_length)
    if (old | new) & (PMD_SIZE - 1) or new_length > old_length:
        raise SysError(EINVAL)
    return old_length, new_length


class HugeCache(PageCache):
    """The content of shared memory of huge pages: whole groups, by number, instead of single pages.

    Invariant: it holds one reference to each frame of each group in `groups`, and each such frame is marked K_CACHE.
    """

    def __init__(self, frames: FrameAllocator, size: int) -> None:
        super().__init__(frames)
        self.size = size
        self.groups: dict[int, int] = {}  # index in units of 2 MiB -> first pfn

    def peek(self, index: int) -> int | None:
        first = self.groups.get(index >> GROUP_SHIFT)
        return None if first is None else first + (index & (GROUP - 1))

    def get_group(self, index: int) -> int:
        """The first frame of huge page `index`, zeroed if it is new. Raises SysError(ENOSPC)."""
        first = self.groups.get(index)
        if first is None:
            first = self.groups[index] = alloc(self.frames, leaves=0)
            self.frames.kind[first : first + GROUP] |= K_CACHE
        return first

    def held(self) -> Iterable[int]:
        return [pfn for first in self.groups.values() for pfn in range(first, first + GROUP)]

    def punch(self, start: int, end: int) -> None:
        """Free the huge pages wholly inside of bytes [start, end), zero the rest (Linux hugetlbfs_punch_hole)."""
        end = min(end, self.size)
        first, last = round_up(start) >> PMD_SHIFT, end >> PMD_SHIFT
        if first >= last:
            self._zero_bytes(start, end)
            return
        self._zero_bytes(start, first << PMD_SHIFT)
        self._zero_bytes(last << PMD_SHIFT, end)
        for mapping in self.mappings:
            mapping.prepare_unmap(first << GROUP_SHIFT, last << GROUP_SHIFT)
        for mapping in self.mappings:
            mapping.unmap_pages(first << GROUP_SHIFT, last << GROUP_SHIFT)
        self._drop([self.groups.pop(i) for i in range(first, last) if i in self.groups])

    def _zero_bytes(self, start: int, end: int) -> None:
        while start < end:
            stop = min(end, (start | PMD_SIZE - 1) + 1)
            first = self.groups.get(start >> PMD_SHIFT)
            if first is not None:
                at = (first << PAGE_SHIFT) + (start & (PMD_SIZE - 1))
                self.frames.ram.data[at : at + stop - start] = bytes(stop - start)
                for pfn in range(at >> PAGE_SHIFT, (at + stop - start - 1 >> PAGE_SHIFT) + 1):
                    self.frames.wrote(pfn)
            start = stop

    def drop(self) -> None:
        self._drop(list(self.groups.values()))
        self.groups.clear()
        self.size = 0

    def _drop(self, firsts: list[int]) -> None:
        self.frames.drop_groups(np.array(sorted(firsts), np.int64))


class HugeMemory(SharedMemory):
    """The nameless file behind MAP_SHARED|MAP_ANONYMOUS|MAP_HUGETLB."""

    name = NAME

    def __init__(self, frames: FrameAllocator, size: int) -> None:
        super().__init__(frames, size)
        self.cache = HugeCache(frames, size)


def alloc(frames: FrameAllocator, zero: bool = True, leaves: int = 1) -> int:
    """A group for such an area. Raises SysError(ENOSPC), which a fault makes SIGBUS of."""
    try:
        return frames.alloc_group(zero, leaves)
    except SysError:
        raise SysError(ENOSPC) from None
