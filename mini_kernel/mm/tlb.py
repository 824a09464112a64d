"""The TLB gather: whoever takes a translation away holds one, and frames go back only after the flush.

Precondition of every downgrade (unmap, write-protect, NX, another frame): it happens inside a Gather. A
not-present entry made present, or a right added, needs none (the CPU walks again on a miss or a violation).
Linux: mm/mmu_gather.c; SDM vol. 3A 4.10.4. The CPU here caches translations of one address space at a time and
drops them all when CR3 changes, so an address space that is not loaded has nothing to flush.
"""

from mini_kernel.errors import KernelBug
from mini_kernel.hw import Cpu
from mini_kernel.mm.frame import FrameAllocator, Pfns


class Gather:
    """Collects the flush and the frames of one operation on one address space; use as a context manager."""

    def __init__(self, cpu: Cpu | None, frames: FrameAllocator) -> None:
        """Without a CPU nothing is flushed: for an address space that no CPU will load again."""
        self._cpu = cpu
        self._frames = frames
        self._stale = False
        self._pages: list[Pfns] = []
        self._groups: list[Pfns] = []
        self._tables: list[int] = []

    def __enter__(self) -> "Gather":
        return self

    def stale(self) -> None:
        """An entry lost a right or changed its frame: cached translations may be wrong now."""
        self._stale = True

    def release(self, pfns: Pfns, huge: bool = False) -> None:
        """Drop one reference of each of these frames, or `huge` groups, once the flush is done.

        `stale` must be said as well.
        """
        (self._groups if huge else self._pages).append(pfns)

    def release_table(self, pfn: int) -> None:
        """Drop one reference of a paging structure once the flush is done, which it always needs."""
        self._stale = True
        self._tables.append(pfn)

    def __exit__(self, *exc: object) -> None:
        if self._stale:
            if self._cpu is not None:
                self._cpu.flush_tlb()
        elif self._pages or self._groups or self._tables:
            raise KernelBug("frames are given up without a flush")
        for pfns in self._pages:
            self._frames.put_many(pfns)
        for firsts in self._groups:
            self._frames.put_groups(firsts)
        for pfn in self._tables:
            self._frames.put(pfn)
