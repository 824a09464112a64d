"""Code that is run through one mapping and written through another (a JIT's double mapping, shared memory).

The CPU drops translated code when it is written *through the address it runs at*; a write through another address
whose translation was cached before the code first ran goes unnoticed (the engine tracks code by virtual page). So a
frame of a page cache is never writable at one address and executable at another at the same time: the side that
faults takes the frame over, and the other faults when it wants it back.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import VM_EXEC, VM_SHARED, VM_WRITE, Vma
from mini_kernel.mm.walk import MAPPED
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_W

if TYPE_CHECKING:
    from mini_kernel.mm.mm import Mm


def _others(cache: PageCache, vma: Vma, index: int, flag: int) -> Iterator[tuple["Mm", int, int]]:
    """(address space, address, entry) of page `index` in every other mapping whose VMA has `flag`.

    A private copy of the page is another frame, and none of our business.
    """
    pfn = cache.peek(index)
    for mapping in cache.mappings:
        other: Vma = mapping.vma
        if other is vma or not other.flags & flag or not other.pgoff <= index < other.pgoff + other.pages:
            continue
        address = other.start + ((index - other.pgoff) << PAGE_SHIFT)
        slot = mapping.mm.pt.slot(address)
        entry = mapping.mm.frames.ram.words[slot] if slot else 0
        if entry & MAPPED and (entry & PTE_ADDR) >> PAGE_SHIFT == pfn:
            yield mapping.mm, address, entry


def prepare_for_code(cache: PageCache, vma: Vma) -> None:
    """Make sure that `claim_for_code` of pages of `vma` cannot fail. Raises SysError(ENOMEM)."""
    for mapping in cache.mappings:
        if mapping.vma is not vma and mapping.vma.flags & VM_WRITE:
            mapping.mm.pt.claim(mapping.vma.start, mapping.vma.end)


def claim_for_code(cache: PageCache, vma: Vma, index: int) -> None:
    """Page `index` is about to become executable in `vma`: write-protect it wherever else it is writable.

    Raises SysError(ENOMEM) if a shared PTE table cannot be broken for that.
    """
    for mm, address, entry in list(_others(cache, vma, index, VM_WRITE)):
        if entry & PTE_W:
            mm.frames.ram.words[mm.pt.make_slot(address)] = entry & ~PTE_W
            mm.cpu.flush_tlb()


def claim_for_writing(cache: PageCache, vma: Vma, index: int) -> None:
    """Page `index` is about to become writable in shared `vma`: unmap it wherever else it can be run.

    Raises SysError(ENOMEM) if a shared PTE table cannot be broken for that.
    """
    for mm, address, entry in list(_others(cache, vma, index, VM_EXEC)):
        mm.frames.ram.words[mm.pt.make_slot(address)] = 0
        mm.pt.rss_file -= 1
        mm.cpu.flush_tlb()
        mm.frames.put((entry & PTE_ADDR) >> PAGE_SHIFT)


def has_code_elsewhere(cache: PageCache, vma: Vma) -> bool:
    """True if another mapping of the same pages may run them."""
    return any(m.vma is not vma and m.vma.flags & VM_EXEC for m in cache.mappings)


def is_written_elsewhere(cache: PageCache, vma: Vma) -> bool:
    """True if another mapping of the same pages may write them."""
    wanted = VM_SHARED | VM_WRITE
    return any(m.vma is not vma and m.vma.flags & wanted == wanted for m in cache.mappings)
