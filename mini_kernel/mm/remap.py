"""mremap(2) on an address space (Linux mm/mremap.c)."""

from mini_kernel.errors import SysError
from mini_kernel.mm import fault
from mini_kernel.mm.mm import MMAP_MIN_ADDR, Mm
from mini_kernel.mm.mmap import munmap, unmap_range
from mini_kernel.mm.vma import VM_DONTEXPAND, VM_LOCKED, VM_SHARED, Vma
from mini_kernel.uapi.errno import EAGAIN, EFAULT, EINVAL, ENOMEM
from mini_kernel.uapi.mman import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_up


def mremap(mm: Mm, old: int, old_length: int, new_length: int, flags: int, new: int = 0) -> int:
    """Grow, shrink or move a mapping; returns its address. Raises SysError with nothing changed."""
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) or old & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and not flags & MREMAP_MAYMOVE:
        raise SysError(EINVAL)
    old_length, new_length = page_up(old_length), page_up(new_length)
    if not 0 < new_length <= TASK_SIZE or (flags & MREMAP_DONTUNMAP and old_length != new_length):
        raise SysError(EINVAL)
    if flags & MREMAP_FIXED:
        _check_target(old, old_length, new, new_length)
    vma = _source(mm, old, old_length)
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        return _move_to(mm, vma, old, old_length, new_length, flags, new)
    if old_length >= new_length and old_length:
        if old_length > new_length:
            munmap(mm, old + new_length, old_length - new_length)
        return old
    _check_growth(mm, vma, new_length - old_length)
    if old_length and _grow_in_place(mm, vma, old, old_length, new_length):
        return old
    if not flags & MREMAP_MAYMOVE:
        raise SysError(ENOMEM)
    return _move(mm, vma, old, old_length, mm.find_gap(new_length), new_length, keep=not old_length)


def _check_target(old: int, old_length: int, new: int, new_length: int) -> None:
    if new & (PAGE_SIZE - 1) or new > TASK_SIZE - new_length or new < MMAP_MIN_ADDR:
        raise SysError(EINVAL)
    if old < new + new_length and new < old + old_length:
        raise SysError(EINVAL)


def _source(mm: Mm, old: int, old_length: int) -> Vma:
    """The one VMA that must hold the whole old range."""
    vma = mm.find(old)
    if vma is None:
        raise SysError(EFAULT)
    if not old_length and not vma.flags & VM_SHARED:
        raise SysError(EINVAL)  # duplicating a private mapping makes no sense (Linux since 4.14)
    if old_length > vma.end - old:
        raise SysError(EFAULT)
    return vma


def _check_growth(mm: Mm, vma: Vma, extra: int) -> None:
    if vma.flags & VM_DONTEXPAND:
        raise SysError(EFAULT)
    if vma.flags & VM_LOCKED and (mm.locked_pages() << PAGE_SHIFT) + extra > mm.limits.locked:
        raise SysError(EAGAIN)
    if (mm.total_pages() << PAGE_SHIFT) + extra > mm.limits.address_space:
        raise SysError(ENOMEM)
    if extra >> PAGE_SHIFT > mm.frames.total:
        raise SysError(ENOMEM)


def _grow_in_place(mm: Mm, vma: Vma, old: int, old_length: int, new_length: int) -> bool:
    """Extend the VMA upwards if the old range ends where it ends and the addresses behind are free."""
    end = old + new_length
    if old + old_length != vma.end or end > TASK_SIZE or not mm.is_free(vma.end, end):
        return False
    grown_from = vma.end
    vma.end = end
    vma = mm.merge_around(mm.index_after(vma.start))
    if vma.flags & VM_LOCKED:
        fault.populate(mm, grown_from, end, write=True)
    return True


def _move_to(mm: Mm, vma: Vma, old: int, old_length: int, new_length: int, flags: int, new: int) -> int:
    """MREMAP_FIXED and MREMAP_DONTUNMAP."""
    if new_length > old_length:
        _check_growth(mm, vma, new_length - old_length)
    if flags & MREMAP_DONTUNMAP and (vma.flags & VM_SHARED or vma.file is not None):
        raise SysError(EINVAL)
    if flags & MREMAP_FIXED:
        unmap_range(mm, new, new + new_length)
        vma = _source(mm, old, old_length)
    else:
        hint_free = new and not new & (PAGE_SIZE - 1) and mm.is_free(new, new + new_length)
        new = new if hint_free else mm.find_gap(new_length)
    if old_length > new_length:
        munmap(mm, old + new_length, old_length - new_length)
        old_length = new_length
        vma = _source(mm, old, old_length)
    return _move(mm, vma, old, old_length, new, new_length, keep=bool(flags & MREMAP_DONTUNMAP) or not old_length)


def _move(mm: Mm, vma: Vma, old: int, old_length: int, new: int, new_length: int, keep: bool) -> int:
    """Move PTEs and VMA from [old, old + old_length) to `new` (Linux move_vma); `keep` leaves the old VMA, empty."""
    entries = mm.pt.read(old, old + old_length)
    occupied = entries.nonzero()[0]
    if len(occupied):
        first, last = int(occupied[0]), int(occupied[-1])
        mm.pt.make_range(new + (first << PAGE_SHIFT), new + (last + 1 << PAGE_SHIFT))
    moved = vma.clone(start=old)
    moved.start, moved.end = new, new + new_length
    if moved.file is not None:
        moved.file.get()
    with mm.gather() as tlb:
        mm.pt.write(old, entries * 0)
        mm.pt.write(new, entries)
        tlb.stale()
    result = mm.insert(moved)
    if not keep:
        unmap_range(mm, old, old + old_length)
    if result.flags & VM_LOCKED:
        fault.populate(mm, new + old_length, new + new_length, write=True)
    return new
