"""Pinned pages: frames that somebody reads and writes by number, as a device does (Linux pin_user_pages, FOLL_PIN).

The pinner and the process must go on seeing the same frame whatever the process does, fork included. So a private page
is made the process's own before it is pinned, and its PTE table is marked EXCLUSIVE: every fork copies that table, and
gives the child a copy of the pinned page at once (F20, F92). A huge page is pinned in part, and copied as a whole; what
is marked then is its PMD table.
"""

from mini_kernel.errors import SysError
from mini_kernel.mm import fault
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_WRITE
from mini_kernel.mm.zone import GROUP
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PTE_ADDR, PTE_PS, page_down, page_up


def pin_pages(mm: Mm, address: int, length: int) -> list[int]:
    """Pin the pages that hold [address, address + length) for reading and writing; their frames, in order.

    Breaks whatever is shared copy-on-write there, page or table (F93). `FrameAllocator.unpin` undoes it for one frame.
    Raises SysError(EFAULT) if a page may not be written, SysError(ENOMEM); nothing is pinned then.
    """
    start, end = page_down(address), page_up(address + length)
    areas = mm.overlapping(start, end)
    if not mm.covered(start, end) or not all(vma.flags & VM_WRITE for vma in areas):
        raise SysError(EFAULT)
    try:
        fault.populate(mm, start, end, write=True)
    except fault.BadAccess:
        raise SysError(EFAULT) from None
    frames = mm.frames
    pfns: list[int] = []
    for page in range(start, end, PAGE_SIZE):
        slot = mm.pt.leaf_slot(page) or mm.pt.make_slot(page)
        pfn = (frames.ram.words[slot] & PTE_ADDR) >> PAGE_SHIFT
        if frames.ram.words[slot] & PTE_PS:
            pfn += page >> PAGE_SHIFT & GROUP - 1
        if not frames.kinds[pfn] & K_CACHE:
            frames.kinds[slot >> 9] |= K_EXCLUSIVE
        frames.pin(pfn)
        pfns.append(pfn)
    return pfns
