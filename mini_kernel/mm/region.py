"""The memory behind sfork: one region, mapped by several processes, each with rights of its own.

The sfork report's shared_area_struct: a reference count (`users`), the list of VMAs that map the region (the page
cache's `mappings`, kept up by mmap, fork, split, unmap and exit), and no lock, as the kernel is never preempted. What
sets a region apart from other shared memory is that a page is installed in *every* VMA of the region at the first touch
in any, so that it costs one fault in all and not one for each process.
"""

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm.frame import K_CACHE
from mini_kernel.mm.mm import Mm, SharedMemory
from mini_kernel.mm.vma import Vma
from mini_kernel.mm.walk import PTE_PROTNONE
from mini_kernel.x86 import PAGE_SHIFT, PTE_D, PTE_SOFT_DIRTY, PTE_W


class SharedArea(SharedMemory):
    """The pages of one region; lives as long as its mappings."""

    name = "[sfork]"


def install(mm: Mm, vma: Vma, address: int, write: bool = False) -> str:
    """First touch of a page: one zeroed frame for it, mapped at its place in every VMA of the region (S10).

    `write` says what the touch was: it matters only where writes are noted, as nobody will fault again elsewhere.
    Returns the fault class. Raises SysError(ENOMEM) with nothing mapped; a process whose tables cannot be extended is
    passed over, and takes a fault of its own later.
    """
    assert vma.file is not None
    cache = vma.file.cache
    index = vma.index_of(address)
    mm.pt.make_slot(address)
    pfn = cache.get_page(index)
    _install_in(mm, vma, index, pfn, write)
    for mapping in cache.mappings:
        other: Vma = mapping.vma
        if other is not vma and other.pgoff <= index < other.pgoff + other.pages:
            try:
                _install_in(mapping.mm, other, index, pfn)
            except SysError:
                continue
    return "sfork_install"


def _install_in(mm: Mm, vma: Vma, index: int, pfn: int, write: bool = False) -> None:
    """Map a page in one VMA, with this VMA's rights, unless it is mapped there already."""
    slot = mm.pt.make_slot(vma.start + ((index - vma.pgoff) << PAGE_SHIFT))
    words = mm.frames.ram.words
    if not words[slot]:
        words[slot] = pfn << PAGE_SHIFT | entry_bits(vma, write)
        mm.frames.get(pfn)
        mm.pt.rss_file += 1


def entry_bits(vma: Vma, write: bool = False) -> int:
    """The PTE bits of a region's page in this VMA. Writable ones are dirty from the start, as no fault will come again:
    unless the area has been told to note writes, and this is none.
    """
    bits = vma.page_bits or PTE_PROTNONE
    if vma.soft_clean and not write:
        return bits & ~PTE_W
    return bits | PTE_D | PTE_SOFT_DIRTY if bits & PTE_W else bits


def fill(mm: Mm, vma: Vma) -> None:
    """MAP_POPULATE: every page of a new region at once, in this VMA. Raises SysError(ENOMEM) with nothing mapped."""
    assert vma.file is not None
    cache, frames = vma.file.cache, mm.frames
    mm.pt.make_range(vma.start, vma.end)
    pfns = frames.alloc_many(vma.pages)
    frames.kind[pfns] |= K_CACHE
    pages: list[int] = pfns.tolist()
    cache.pages.update(zip(range(len(pages)), pages, strict=True))
    frames.get_many(pfns)
    mm.pt.write(vma.start, pfns.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(entry_bits(vma)))
    mm.pt.rss_file += vma.pages
