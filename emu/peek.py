"""User memory as the program would find it, without a fault and without changing anything.

`uaccess.probe` stops at a page that was never touched. What a fault would bring in is known all the same: the file's
content, or zeros. A string in .rodata that only the kernel is going to read is such a page.
"""

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import VM_READ
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE


def peek(mm: Mm, address: int, n: int) -> bytes:
    """Up to `n` bytes from `address` on, short at the first page that could not be read."""
    out: list[bytes] = []
    while n > 0 and 0 <= address < TASK_SIZE:
        size = min(n, PAGE_SIZE - (address & (PAGE_SIZE - 1)))
        piece = uaccess.probe(mm, address, size) or _untouched(mm, address, size)
        if not piece:
            break
        out.append(piece)
        address += size
        n -= size
    return b"".join(out)


def _untouched(mm: Mm, address: int, size: int) -> bytes:
    """`size` bytes within one page that no fault has brought in yet; b"" where a read would be refused."""
    vma = mm.find(address)
    slot = mm.pt.slot(address)
    if vma is None or not vma.flags & VM_READ or (slot and mm.frames.ram.words[slot]):
        return b""
    if vma.file is None:
        return bytes(size)
    page = _page(vma.file.cache, vma.index_of(address))
    within = address & (PAGE_SIZE - 1)
    return page[within : within + size]


def content(cache: PageCache) -> bytes:
    """A whole file, without bringing pages in, which the guest's next frames would depend on."""
    pages = (_page(cache, index) or bytes(PAGE_SIZE) for index in range(cache.page_count()))
    return b"".join(pages)[: cache.size]


def _page(cache: PageCache, index: int) -> bytes:
    """A page of a file; b"" behind its end or when the host cannot read it."""
    if index >= cache.page_count():
        return b""
    pfn = cache.peek(index)
    if pfn is not None:
        start = pfn << PAGE_SHIFT
        return bytes(cache.frames.ram.data[start : start + PAGE_SIZE])
    page = bytearray(PAGE_SIZE)
    valid = cache.source_end - (index << PAGE_SHIFT)
    if cache.source is not None and valid > 0:
        try:
            cache.source.read_page(index, memoryview(page))
        except SysError:
            return b""
        page[max(valid, 0) :] = bytes(max(0, PAGE_SIZE - valid))
    return bytes(page)
