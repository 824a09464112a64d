"""madvise(2), mlock(2) and kin, mincore(2), msync(2) on an address space (Linux mm/madvise.c, mlock.c, mincore.c)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, huge
from mini_kernel.mm.hugetlb import round_up
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import (
    VM_DONTCOPY,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_READ,
    VM_SEALED,
    VM_SFORK,
    VM_SFORK_KEEP,
    VM_SHARED,
    VM_WIPEONFORK,
    VM_WRITE,
    Vma,
)
from mini_kernel.mm.walk import mapped
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PTE_A, PTE_D, PTE_W, TASK_SIZE, page_down, page_up

_ALL_BITS: Final = (1 << 64) - 1
_LOCK: Final = VM_LOCKED | VM_LOCKONFAULT


def _range(start: int, length: int) -> tuple[int, int]:
    """Check an address range as madvise(2) does: start aligned, length rounded up, no wrap."""
    end = start + page_up(length)
    if start & (PAGE_SIZE - 1) or end > _ALL_BITS:
        raise SysError(EINVAL)
    return start, end


# -- madvise -----------------------------------------------------------------------------------------


def madvise(mm: Mm, start: int, length: int, advice: int) -> None:
    """Apply advice to [start, start + length).

    Holes: the rest is done, then SysError(ENOMEM). An area that refuses ends the call, those before are done.
    """
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
    try:
        for vma in mm.overlapping(start, end):
            if advice in _DISCARDS and vma.flags & VM_SEALED and _read_only(vma):
                raise SysError(EPERM)
            action(mm, vma, max(start, vma.start), min(end, vma.end))
    finally:
        mm.merge_range(start, end)
    if not covered:
        raise SysError(ENOMEM)


def _read_only(vma: Vma) -> bool:
    """True for memory whose content cannot come back by writing: what sealing protects from being dropped."""
    return vma.flags & (VM_SHARED | VM_WRITE) == 0


def mseal(mm: Mm, start: int, length: int) -> None:
    """Forbid for good that mappings in the range are unmapped, moved or get other rights (mseal(2)).

    Raises SysError EINVAL, or ENOMEM for holes, with nothing sealed.
    """
    start, end = _range(start, length)
    if start == end:
        return
    if not mm.covered(start, end):
        raise SysError(ENOMEM)
    for vma in mm.isolate(start, end):
        vma.set_flags(vma.flags | VM_SEALED)
    mm.merge_range(start, end)


def _nothing(_mm: Mm, _vma: Vma, _start: int, _end: int) -> None:
    """Advice about paging that changes nothing where nothing is ever paged out."""


def _dont_need(mm: Mm, vma: Vma, start: int, end: int) -> None:
    if vma.flags & VM_LOCKED:
        raise SysError(EINVAL)
    _drop(mm, vma, start, end)


def _drop(mm: Mm, vma: Vma, start: int, end: int) -> None:
    if vma.flags & VM_HUGETLB:  # lengths are in whole huge pages, rounded down so that nothing else is lost
        if start & (PMD_SIZE - 1):
            raise SysError(EINVAL)
        end &= -PMD_SIZE
    mm.pt.claim_edges(start, end)
    with mm.gather() as tlb:
        mm.pt.zap(start, end, tlb, unlink=False)


def _free(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """MADV_FREE: the pages may be reclaimed at any time until written. Here memory pressure kills, so never is."""
    if vma.file is not None or vma.flags & (VM_SHARED | VM_LOCKED | VM_HUGETLB):
        raise SysError(EINVAL)
    mm.pt.claim(start, end)
    with mm.gather() as tlb:
        mm.change(start, end, _ALL_BITS & ~(PTE_A | PTE_D | PTE_W), 0, tlb)


def _remove(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """MADV_REMOVE: punch a hole in shared memory, which need not be writable just now (Linux since 6.7)."""
    if vma.flags & VM_LOCKED or vma.file is None:
        raise SysError(EINVAL)
    if vma.flags & (VM_SHARED | VM_MAYWRITE) != VM_SHARED | VM_MAYWRITE:
        raise SysError(EACCES)
    first = vma.index_of(start) << PAGE_SHIFT
    vma.file.cache.punch(first, first + end - start)


def _flag(add: int, remove: int, anonymous_only: bool = False) -> "Action":
    def change(mm: Mm, vma: Vma, start: int, end: int) -> None:
        if anonymous_only and (vma.file is not None or vma.flags & (VM_SHARED | VM_HUGETLB)):
            raise SysError(EINVAL)
        flags = vma.flags & ~remove | add
        if flags != vma.flags:
            for part in _isolate(mm, start, end):
                part.set_flags(flags)

    return change


def _keep_on_exec(add: int, remove: int) -> "Action":
    change = _flag(add, remove)

    def checked(mm: Mm, vma: Vma, start: int, end: int) -> None:
        if not vma.flags & VM_SFORK:
            raise SysError(EINVAL)
        change(mm, vma, start, end)

    return checked


def _isolate(mm: Mm, start: int, end: int) -> list[Vma]:
    try:
        return mm.isolate(start, end)
    except SysError as error:
        if error.errno != ENOMEM:
            raise
        raise SysError(EAGAIN) from None  # what madvise(2) makes of a full list of areas


def _page_out(_mm: Mm, vma: Vma, _start: int, _end: int) -> None:
    if vma.flags & VM_HUGETLB:
        raise SysError(EINVAL)


def _collapse(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """MADV_COLLAPSE: huge pages for what can be had of the range, whatever the policy; an error if that is not all."""
    whole = round_up(vma.start) < vma.end & -PMD_SIZE
    if vma.file is not None or vma.flags & (VM_HUGETLB | VM_NOHUGEPAGE) or not whole:
        raise SysError(EINVAL)
    failure: SysError | None = None
    for base in range(round_up(start), end & -PMD_SIZE, PMD_SIZE):
        try:
            huge.collapse(mm, vma, base)
        except SysError as error:
            failure = error
            if error.errno == ENOMEM:
                break
    if failure is not None:
        raise failure


def _populate(mm: Mm, start: int, end: int, advice: int) -> None:
    """MADV_POPULATE_*: areas up to the one that fails stay populated."""
    write = advice == mman.MADV_POPULATE_WRITE
    while start < end:
        vma = mm.find(start)
        if vma is None:
            raise SysError(ENOMEM)
        if not vma.flags & (VM_WRITE if write else VM_READ):
            raise SysError(EINVAL)
        stop = min(end, vma.end)
        try:
            fault.populate(mm, start, stop, write)
        except fault.BadAccess:
            raise SysError(EFAULT) from None  # behind the end of the file
        start = stop


#: What loses content (Linux is_discard): refused for sealed memory that cannot be written.
_DISCARDS: Final = (
    mman.MADV_FREE,
    mman.MADV_DONTNEED,
    mman.MADV_DONTNEED_LOCKED,
    mman.MADV_REMOVE,
    mman.MADV_DONTFORK,
    mman.MADV_WIPEONFORK,
)
Action = Callable[[Mm, Vma, int, int], None]
_INERT: Final = (
    mman.MADV_NORMAL,
    mman.MADV_RANDOM,
    mman.MADV_SEQUENTIAL,
    mman.MADV_WILLNEED,
    mman.MADV_MERGEABLE,
    mman.MADV_UNMERGEABLE,
    mman.MADV_DONTDUMP,
    mman.MADV_DODUMP,
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
    mman.MADV_KEEPONEXEC: _keep_on_exec(VM_SFORK_KEEP, 0),
    mman.MADV_DROPONEXEC: _keep_on_exec(0, VM_SFORK_KEEP),
    mman.MADV_HUGEPAGE: _flag(VM_HUGEPAGE, VM_NOHUGEPAGE),
    mman.MADV_NOHUGEPAGE: _flag(VM_NOHUGEPAGE, VM_HUGEPAGE),
    mman.MADV_COLLAPSE: _collapse,
    mman.MADV_COLD: _page_out,
    mman.MADV_PAGEOUT: _page_out,
    mman.MADV_POPULATE_READ: _nothing,
    mman.MADV_POPULATE_WRITE: _nothing,
    **dict.fromkeys(_INERT, _nothing),
}


# -- mlock -------------------------------------------------------------------------------------------


def _pages(start: int, length: int) -> tuple[int, int]:
    """The pages that hold [start, start + length). Raises SysError(EINVAL) if they wrap."""
    end = page_up(start + length)
    if end > _ALL_BITS:
        raise SysError(EINVAL)
    return page_down(start), end


def mlock(mm: Mm, start: int, length: int, on_fault: bool = False) -> None:
    """Lock pages, faulting them in now unless `on_fault`. Raises SysError(ENOMEM, EAGAIN, EPERM).

    As in Linux, areas before the first hole stay locked, and all of them if only the faulting in fails.
    """
    start, end = _pages(start, length)
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
    """Unlock pages. Areas before the first hole are unlocked, then SysError(ENOMEM)."""
    start, end = _pages(start, length)
    _set_lock(mm, start, end, 0)


def _set_lock(mm: Mm, start: int, end: int, flags: int) -> None:
    """Linux apply_vma_lock_flags."""
    at = start
    try:
        while at < end:
            vma = mm.find(at)
            if vma is None:
                raise SysError(ENOMEM)
            stop = min(end, vma.end)
            if vma.flags & _LOCK != flags and not vma.flags & VM_HUGETLB:  # these are never paged out anyway
                for part in mm.isolate(at, stop):
                    part.set_flags(part.flags & ~_LOCK | flags)
            at = stop
    finally:
        mm.merge_range(start, at)


def _populate_locked(mm: Mm, start: int, end: int) -> None:
    try:
        fault.prefault(mm, start, end)
    except SysError:
        raise SysError(EAGAIN) from None  # Linux __mlock_posix_error_return
    except fault.BadAccess:
        raise SysError(ENOMEM) from None


def mlockall(mm: Mm, flags: int) -> None:
    """Lock everything mapped now (MCL_CURRENT), from now on (MCL_FUTURE), or as touched (MCL_ONFAULT)."""
    if not flags or flags & ~(mman.MCL_CURRENT | mman.MCL_FUTURE | mman.MCL_ONFAULT) or flags == mman.MCL_ONFAULT:
        raise SysError(EINVAL)
    if not mm.limits.locked:
        raise SysError(EPERM)
    lock = VM_LOCKED | (VM_LOCKONFAULT if flags & mman.MCL_ONFAULT else 0)
    if flags & mman.MCL_CURRENT and mm.total_pages() << PAGE_SHIFT > mm.limits.locked:
        raise SysError(ENOMEM)
    mm.lock_future = lock if flags & mman.MCL_FUTURE else 0
    if flags & mman.MCL_CURRENT:
        for vma in mm.vmas:
            if not vma.flags & VM_HUGETLB:
                vma.set_flags(vma.flags & ~_LOCK | lock)
        mm.merge_range(0, TASK_SIZE)
        for vma in list(mm.vmas):
            fault.prefault_quietly(mm, vma.start, vma.end)


def munlockall(mm: Mm) -> None:
    """Undo mlock and mlockall."""
    mm.lock_future = 0
    for vma in mm.vmas:
        vma.set_flags(vma.flags & ~_LOCK)
    mm.merge_range(0, TASK_SIZE)


# -- mincore, msync ----------------------------------------------------------------------------------


def mincore(mm: Mm, start: int, length: int) -> bytes:
    """One byte per page: 1 if mapped (the zero page too) or in the page cache. Raises SysError(EINVAL, ENOMEM)."""
    if start & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    end = start + page_up(length)
    if end > TASK_SIZE or not mm.covered(start, end):
        raise SysError(ENOMEM)
    out = bytearray(mapped(mm.pt.read(start, end)).astype(np.uint8).tobytes())
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
    if start == end:
        return
    if end > TASK_SIZE:
        raise SysError(ENOMEM)
    if flags & mman.MS_INVALIDATE and any(v.flags & VM_LOCKED for v in mm.overlapping(start, end)):
        raise SysError(EBUSY)
    if not mm.covered(start, end):
        raise SysError(ENOMEM)
