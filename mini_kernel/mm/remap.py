"""mremap(2) on an address space (Linux mm/mremap.c)."""

from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, hugetlb
from mini_kernel.mm.mm import MMAP_MIN_ADDR, UNLIMITED, Mm
from mini_kernel.mm.mmap import munmap, unmap_range
from mini_kernel.mm.vma import VM_DONTEXPAND, VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, Vma
from mini_kernel.uapi.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM
from mini_kernel.uapi.mman import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, TASK_SIZE, page_up

_SPARE_MAPS: Final = 5  # a move may split areas in two places before it joins any


def mremap(mm: Mm, old: int, old_length: int, new_length: int, flags: int, new: int = 0) -> int:
    """Grow, shrink or move a mapping; returns its address.

    Raises SysError with nothing changed. Only ENOMEM for tables may come, as in Linux, when the target of
    MREMAP_FIXED is unmapped already and the end of a range that shrinks is cut off; and EFAULT when that target is
    the very mapping that old_length 0 asks to duplicate.
    """
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) or old & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    old_length, new_length = page_up(old_length), page_up(new_length)
    if not 0 < new_length <= TASK_SIZE:
        raise SysError(EINVAL)
    area = mm.find(old)
    if area is not None and area.flags & VM_HUGETLB:
        old_length, new_length = hugetlb.check_move(old, old_length, new, new_length)
        if flags & MREMAP_DONTUNMAP:
            raise SysError(EINVAL)
    mm.check_unsealed(old, old + max(old_length, 1))
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        _check_target(old, old_length, new, new_length, flags)
        return _move_to(mm, old, old_length, new_length, flags, new)
    if old_length >= new_length:
        if mm.find(old) is None:
            raise SysError(EFAULT)
        if old_length > new_length:
            munmap(mm, old + new_length, old_length - new_length)
        return old
    vma = _source(mm, old, old_length)
    _check_growth(mm, vma, new_length - old_length)
    if old_length and _grow_in_place(mm, vma, old, old_length, new_length):
        return old
    if not flags & MREMAP_MAYMOVE:
        raise SysError(ENOMEM)
    return _move(mm, vma, old, old_length, mm.find_gap(new_length), new_length, keep=not old_length)


def _check_target(old: int, old_length: int, new: int, new_length: int, flags: int) -> None:
    if not flags & MREMAP_MAYMOVE or (flags & MREMAP_DONTUNMAP and old_length != new_length):
        raise SysError(EINVAL)
    if new & (PAGE_SIZE - 1) or new > TASK_SIZE - new_length:
        raise SysError(EINVAL)
    if old < new + new_length and new < old + old_length:
        raise SysError(EINVAL)
    if flags & MREMAP_FIXED and new < MMAP_MIN_ADDR:
        raise SysError(EPERM)


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
    """Precondition: the VMA is to grow by `extra` > 0 bytes."""
    if vma.flags & VM_DONTEXPAND:
        raise SysError(EFAULT)
    if vma.flags & VM_LOCKED and (mm.locked_pages() << PAGE_SHIFT) + extra > mm.limits.locked:
        raise SysError(EAGAIN)
    limit = mm.limits.address_space
    if limit != UNLIMITED and (mm.total_pages() << PAGE_SHIFT) + extra > limit:
        raise SysError(ENOMEM)
    if extra >> PAGE_SHIFT > mm.frames.total:
        raise SysError(ENOMEM)


def _grow_in_place(mm: Mm, vma: Vma, old: int, old_length: int, new_length: int) -> bool:
    """Extend the VMA upwards if the old range ends where it ends and the addresses behind hold nothing."""
    grown_from, end = vma.end, old + new_length
    if old + old_length != grown_from or end > TASK_SIZE or mm.overlapping(grown_from, end):
        return False
    vma.end = end
    vma = mm.merge_around(mm.index_after(vma.start))
    if vma.flags & VM_LOCKED:
        fault.prefault_quietly(mm, grown_from, end)
    return True


def _move_to(mm: Mm, old: int, old_length: int, new_length: int, flags: int, new: int) -> int:
    """MREMAP_FIXED and MREMAP_DONTUNMAP."""
    vma = _source(mm, old, old_length)
    if new_length > old_length:
        _check_growth(mm, vma, new_length - old_length)
    mm.reserve_areas(_SPARE_MAPS)
    dont_unmap = bool(flags & MREMAP_DONTUNMAP)
    if dont_unmap and (mm.total_pages() << PAGE_SHIFT) + old_length > mm.limits.address_space:
        raise SysError(ENOMEM)
    if flags & MREMAP_FIXED:
        unmap_range(mm, new, new + new_length)
    else:
        hint_free = new and mm.is_free(new, new + new_length)
        new = new if hint_free else mm.find_gap(new_length)
    if old_length > new_length:
        munmap(mm, old + new_length, old_length - new_length)
        old_length = new_length
    vma = _source(mm, old, old_length)
    return _move(mm, vma, old, old_length, new, new_length, keep=dont_unmap or not old_length)


def _move(mm: Mm, vma: Vma, old: int, old_length: int, new: int, new_length: int, keep: bool) -> int:
    """Move PTEs and VMA from [old, old + old_length) to `new` (Linux move_vma); `keep` leaves the old VMA, empty."""
    mm.reserve_areas(_SPARE_MAPS)
    mm.pt.claim(old, old + old_length)
    huge = _make_targets(mm, old, old_length, new)
    entries = mm.pt.read(old, old + old_length, leaves=False)
    occupied = entries.nonzero()[0]
    if len(occupied):
        first, last = int(occupied[0]), int(occupied[-1])
        try:
            targets = [then for _now, then in huge]
            mm.pt.make_range(new + (first << PAGE_SHIFT), new + (last + 1 << PAGE_SHIFT), targets)
        except SysError:
            _forget_targets(mm, huge)
            raise
    moved = vma.clone(start=old)
    moved.start, moved.end, moved.soft_clean = new, new + new_length, False
    if moved.file is not None:
        moved.file.get()
    with mm.gather() as tlb:
        mm.pt.write(old, entries * 0)
        mm.pt.write(new, entries)
        mm.pt.move_leaves(huge)
        mm.pt.mark_exclusive(new, new + old_length)
        tlb.stale()
    locked = moved.flags & VM_LOCKED
    mm.insert(moved)
    if not keep:
        unmap_range(mm, old, old + old_length)
    elif old_length and locked:
        _unlock(mm, old)
    if locked:
        fault.prefault_quietly(mm, new + old_length, new + new_length)
    return new


def _make_targets(mm: Mm, old: int, old_length: int, new: int) -> list[tuple[int, int]]:
    """(address now, address then) of each huge page that moves as a whole (Linux move_huge_pmd); the tables are there.

    If the two places do not lie alike within 2 MiB, huge pages are split instead. Raises SysError(ENOMEM) with contents
    as they were.
    """
    if not mm.pt.has_leaves:
        return []
    if (old ^ new) & (PMD_SIZE - 1):
        mm.pt.split_range(old, old + old_length)
        return []
    moving = [(base, base - old + new) for base, _leaf in mm.pt.leaves_over(old, old + old_length)]
    try:
        for _now, then in moving:
            mm.drop_empty_tables(then, then + PMD_SIZE)
            mm.pt.make_pmd_slot(then)
    except SysError:
        _forget_targets(mm, moving)
        raise
    return moving


def _forget_targets(mm: Mm, moving: list[tuple[int, int]]) -> None:
    """Free the tables that `_make_targets` made."""
    for _now, then in moving:
        mm.pt.free_empty(then)


def _unlock(mm: Mm, address: int) -> None:
    """The area that stays behind is not locked any more; nor is the new one, if the two became one (Linux)."""
    vma = mm.find(address)
    assert vma is not None
    vma.set_flags(vma.flags & ~(VM_LOCKED | VM_LOCKONFAULT))
    mm.merge_range(vma.start, vma.end)
