"""Guest RAM: one sparse private mapping of the host, seen through four views.

The mapping is MAP_NORESERVE, so 64 GiB cost nothing until they are touched. It is a Python `mmap` object and
every view holds a reference to it: a view that outlives the machine reads zeros, never unmapped memory (a
freed buffer under a live view or a live engine is a host SIGSEGV). From HUGE_FROM up host huge pages are asked for
(madvise(2), MADV_HUGEPAGE): the host's own first touch of a page then costs 0.7 us instead of 2. Below, where small
guests live, a first touch must not cost clearing 2 MiB (0.3 ms, and several where a hypervisor has to find them).
"""

import contextlib
import ctypes
import mmap
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emu.machine.recall import Recall
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

MIN_RAM_BYTES: Final = 1 << 20
HUGE_FROM: Final = 16 << 20
# CPython names it from 3.13 on. 0x4000 on Linux (asm-generic/mman.h); elsewhere mappings are not reserved anyway.
_MAP_NORESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class Ram:
    """`mini_kernel.hw.PhysicalMemory` over one anonymous mapping of `size` bytes (a multiple of 4096)."""

    def __init__(self, size: int, huge_pages: bool = True) -> None:
        if size % PAGE_SIZE or size < MIN_RAM_BYTES:
            raise ValueError(f"RAM must be a multiple of {PAGE_SIZE} bytes and at least 1 MiB, not {size}")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = mmap.mmap(-1, size, flags=flags)
        if huge_pages and hasattr(mmap, "MADV_HUGEPAGE") and size > HUGE_FROM:
            with contextlib.suppress(OSError):  # a host without transparent huge pages is only slower
                self._map.madvise(mmap.MADV_HUGEPAGE, HUGE_FROM, size - HUGE_FROM)
        self.size = size
        self._recall = Recall(self)
        self.data = memoryview(self._map)
        self.words = self.data.cast("Q")
        frames = size >> PAGE_SHIFT
        self.tables: NDArray[np.uint64] = np.frombuffer(self._map, np.uint64).reshape(frames, 512)
        self.pages: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8).reshape(frames, PAGE_SIZE)

    @property
    def address(self) -> int:
        """Where the mapping starts in the host's address space."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def discard(self, first_pfn: int, last_pfn: int) -> None:
        """Give the host pages behind frames [first_pfn, last_pfn) back; they read as zero afterwards.

        Precondition: 0 <= first_pfn <= last_pfn <= size / 4096 (else ValueError).
        """
        if not 0 <= first_pfn <= last_pfn <= self.size >> PAGE_SHIFT:
            raise ValueError(f"frames [{first_pfn}, {last_pfn}) are not all RAM")
        if first_pfn < last_pfn:
            self._zero(first_pfn << PAGE_SHIFT, (last_pfn - first_pfn) << PAGE_SHIFT)

    def _zero(self, start: int, length: int) -> None:
        self._recall.forget(start, length)
        self._map.madvise(mmap.MADV_DONTNEED, start, length)

    def revert(self) -> None:
        """Drop every page that was written to: what lies below shows again, zeros where nothing does."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def recall(self, key: object, pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> bool:
        """hw.PhysicalMemory: from the second time on the same large content costs what was written to since."""
        return self._recall.recall(key, pfns, contents)

    def release(self) -> None:
        """Give all host memory back now; the address range itself goes when the last view does."""
        self._zero(0, self.size)
