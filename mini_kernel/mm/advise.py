"""madvise(2), mlock(2) and kin, mincore(2), msync(2) on an address space (Linux mm/madvise.c, mlock.c, mincore.c)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm import fault
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pgtable import frames_of, mapped
from mini_kernel.mm.vma import (
    VM_DONTCOPY,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_SHARED,
    VM_WIPEONFORK,
    VM_WRITE,
    Vma,
)
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM
from mini_kernel.uapi.signal import SIGBUS
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PTE_A, PTE_D, PTE_W, TASK_SIZE, page_down, page_up

_ALL_BITS: Final = (1 << 64) - 1


def _range(start: int, length: int) -> tuple[int, int]:
    """Check an address range as madvise(2) does: start aligned, length rounded up, no wrap."""
    if start & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    end = start + page_up(length)
    if end < start or end > TASK_SIZE:
        raise SysError(EINVAL)
    return start, end


# -- madvise -----------------------------------------------------------------------------------------


def madvise(mm: Mm, start: int, length: int, advice: int) -> None:
    """Apply advice to [start, start + length). Holes: the rest is done, then SysError(ENOMEM), as in Linux."""
    action = _ACTIONS.get(advice)
    if action is None:
        raise SysError(EINVAL)
    start, end = _range(start, length)
    if start == end:
        return
    if advice in (mman.MADV_POPULATE_READ, mman.MADV_POPULATE_WRITE):
        _populate(mm, start, end, advice)
        return
    covered = mm.covered(start, end)
    for vma in mm.overlapping(start, end):
        action(mm, vma, max(start, vma.start), min(end, vma.end))
    mm.merge_range(start, end)
    if not covered:
        raise SysError(ENOMEM)


def _nothing(_mm: Mm, _vma: Vma, _start: int, _end: int) -> None:
    """Advice about paging that changes nothing where nothing is ever paged out."""


def _dont_need(mm: Mm, vma: Vma, start: int, end: int) -> None:
    if vma.flags & VM_LOCKED:
        raise SysError(EINVAL)
    _drop(mm, vma, start, end)


def _drop(mm: Mm, _vma: Vma, start: int, end: int) -> None:
    with mm.gather() as tlb:
        mm.zap(start, end, tlb, unlink=False)


def _free(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """MADV_FREE: the pages may be reclaimed at any time until written. Here memory pressure kills, so never is."""
    if vma.file is not None or vma.flags & VM_SHARED:
        raise SysError(EINVAL)
    with mm.gather() as tlb:
        mm.change(start, end, _ALL_BITS & ~(PTE_A | PTE_D | PTE_W), 0, tlb)


def _remove(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """MADV_REMOVE: punch a hole in shared memory."""
    if vma.flags & VM_LOCKED or vma.file is None:
        raise SysError(EINVAL)
    if vma.flags & (VM_SHARED | VM_WRITE) != VM_SHARED | VM_WRITE:
        raise SysError(EACCES)
    first = vma.index_of(start) << PAGE_SHIFT
    vma.file.cache.punch(first, first + end - start)


def _flag(add: int, remove: int, anonymous_only: bool = False) -> "Action":
    def change(mm: Mm, vma: Vma, start: int, end: int) -> None:
        if anonymous_only and (vma.file is not None or vma.flags & VM_SHARED):
            raise SysError(EINVAL)
        flags = vma.flags & ~remove | add
        if flags != vma.flags:
            for part in mm.isolate(start, end):
                part.set_flags(flags)

    return change


def _populate(mm: Mm, start: int, end: int, advice: int) -> None:
    if not mm.covered(start, end):
        raise SysError(ENOMEM)
    write = advice == mman.MADV_POPULATE_WRITE
    for vma in mm.overlapping(start, end):
        if write and not vma.flags & VM_WRITE:
            raise SysError(EINVAL)
        try:
            fault.populate(mm, max(start, vma.start), min(end, vma.end), write)
        except fault.BadAccess as bad:
            raise SysError(EFAULT if bad.signal == SIGBUS else EINVAL) from None


Action = Callable[[Mm, Vma, int, int], None]
_INERT: Final = (
    mman.MADV_NORMAL,
    mman.MADV_RANDOM,
    mman.MADV_SEQUENTIAL,
    mman.MADV_WILLNEED,
    mman.MADV_MERGEABLE,
    mman.MADV_UNMERGEABLE,
    mman.MADV_HUGEPAGE,
    mman.MADV_NOHUGEPAGE,
    mman.MADV_DONTDUMP,
    mman.MADV_DODUMP,
    mman.MADV_COLD,
    mman.MADV_PAGEOUT,
)
_ACTIONS: Final[dict[int, Action]] = {
    mman.MADV_DONTNEED: _dont_need,
    mman.MADV_DONTNEED_LOCKED: _drop,
    mman.MADV_FREE: _free,
    mman.MADV_REMOVE: _remove,
    mman.MADV_DONTFORK: _flag(VM_DONTCOPY, 0),
    mman.MADV_DOFORK: _flag(0, VM_DONTCOPY),
    mman.MADV_WIPEONFORK: _flag(VM_WIPEONFORK, 0, anonymous_only=True),
    mman.MADV_KEEPONFORK: _flag(0, VM_WIPEONFORK),
    mman.MADV_POPULATE_READ: _nothing,
    mman.MADV_POPULATE_WRITE: _nothing,
    **dict.fromkeys(_INERT, _nothing),
}


# -- mlock -------------------------------------------------------------------------------------------


def mlock(mm: Mm, start: int, length: int, on_fault: bool = False) -> None:
    """Lock pages, faulting them in now unless `on_fault`. Raises SysError(ENOMEM, EPERM)."""
    end = page_up(start + length)
    start = page_down(start)
    if end > TASK_SIZE or end < start:
        raise SysError(EINVAL)
    flags = VM_LOCKED | (VM_LOCKONFAULT if on_fault else 0)
    if not mm.limits.locked:
        raise SysError(EPERM)
    new = sum(min(v.end, end) - max(v.start, start) for v in mm.overlapping(start, end) if not v.flags & VM_LOCKED)
    if (mm.locked_pages() << PAGE_SHIFT) + new > mm.limits.locked:
        raise SysError(ENOMEM)
    _set_lock(mm, start, end, flags)
    if not on_fault:
        _populate_locked(mm, start, end)


def munlock(mm: Mm, start: int, length: int) -> None:
    """Unlock pages. Raises SysError(ENOMEM) for holes."""
    end = page_up(start + length)
    if end > TASK_SIZE:
        raise SysError(EINVAL)
    _set_lock(mm, page_down(start), end, 0)


def _set_lock(mm: Mm, start: int, end: int, flags: int) -> None:
    if not mm.covered(start, end):
        raise SysError(ENOMEM)
    for vma in mm.overlapping(start, end):
        for part in mm.isolate(max(start, vma.start), min(end, vma.end)):
            part.set_flags(part.flags & ~(VM_LOCKED | VM_LOCKONFAULT) | flags)
    mm.merge_range(start, end)


def _populate_locked(mm: Mm, start: int, end: int) -> None:
    try:
        fault.populate(mm, start, end, write=True)
    except fault.BadAccess:
        raise SysError(ENOMEM) from None


def mlockall(mm: Mm, flags: int) -> None:
    """Lock everything mapped now (MCL_CURRENT), from now on (MCL_FUTURE), or as touched (MCL_ONFAULT)."""
    if not flags or flags & ~(mman.MCL_CURRENT | mman.MCL_FUTURE | mman.MCL_ONFAULT) or flags == mman.MCL_ONFAULT:
        raise SysError(EINVAL)
    lock = VM_LOCKED | (VM_LOCKONFAULT if flags & mman.MCL_ONFAULT else 0)
    if flags & mman.MCL_CURRENT:
        if mm.total_pages() << PAGE_SHIFT > mm.limits.locked:
            raise SysError(ENOMEM)
        for vma in list(mm.vmas):
            vma.set_flags(vma.flags & ~VM_LOCKONFAULT | lock)
            if not flags & mman.MCL_ONFAULT and vma.page_bits:
                _populate_locked(mm, vma.start, vma.end)
        mm.merge_range(0, TASK_SIZE)
    mm.lock_future = lock if flags & mman.MCL_FUTURE else 0


def munlockall(mm: Mm) -> None:
    """Undo mlock and mlockall."""
    mm.lock_future = 0
    for vma in mm.vmas:
        vma.set_flags(vma.flags & ~(VM_LOCKED | VM_LOCKONFAULT))
    mm.merge_range(0, TASK_SIZE)


# -- mincore, msync ----------------------------------------------------------------------------------


def mincore(mm: Mm, start: int, length: int) -> bytes:
    """One byte per page: 1 if resident (for files: in the page cache). Raises SysError(EINVAL, ENOMEM)."""
    if start & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    end = start + page_up(length)
    if end > TASK_SIZE or not mm.covered(start, end):
        raise SysError(ENOMEM)
    entries = mm.pt.read(start, end)
    here = mapped(entries) & (frames_of(entries) != mm.frames.zero_page)
    out = bytearray(here.astype(np.uint8).tobytes())
    for vma in mm.overlapping(start, end):
        if vma.file is None:
            continue
        for address in range(max(start, vma.start), min(end, vma.end), PAGE_SIZE):
            if vma.file.cache.peek(vma.index_of(address)) is not None:
                out[(address - start) >> PAGE_SHIFT] = 1
    return bytes(out)


def msync(mm: Mm, start: int, length: int, flags: int) -> None:
    """Check as msync(2) does; mapped files and memory are one here, so nothing is left to write."""
    if flags & ~(mman.MS_ASYNC | mman.MS_INVALIDATE | mman.MS_SYNC) or start & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    if flags & mman.MS_ASYNC and flags & mman.MS_SYNC:
        raise SysError(EINVAL)
    end = start + page_up(length)
    if end > TASK_SIZE or end < start:
        raise SysError(ENOMEM)
    if flags & mman.MS_INVALIDATE and any(v.flags & VM_LOCKED for v in mm.overlapping(start, end)):
        raise SysError(EBUSY)
    if not mm.covered(start, end):
        raise SysError(ENOMEM)
