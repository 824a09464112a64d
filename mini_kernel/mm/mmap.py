"""mmap(2), munmap(2) and brk(2) on an address space (Linux mm/mmap.c)."""

from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, hugetlb, region
from mini_kernel.mm.mm import MMAP_BASE, MMAP_MIN_ADDR, UNLIMITED, Mm, SharedMemory
from mini_kernel.mm.vma import (
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_MAY,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NORESERVE,
    VM_READ,
    VM_SFORK,
    VM_SHARED,
    VM_WRITE,
    MappedFile,
    Vma,
)
from mini_kernel.uapi.errno import EAGAIN, EEXIST, EINVAL, ENOMEM, EOVERFLOW, EPERM
from mini_kernel.uapi.mman import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SFORK,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, TASK_SIZE, page_down, page_up

PROT_ALL: Final = PROT_READ | PROT_WRITE | PROT_EXEC
BEGIN_32BIT, END_32BIT = 1 << 30, 1 << 31  # where MAP_32BIT looks (Linux find_start_end)


def mmap(
    mm: Mm,
    address: int,
    length: int,
    prot: int,
    flags: int,
    file: MappedFile | None = None,
    pgoff: int = 0,
    may: int = VM_MAY,
) -> int:
    """Map `length` bytes; returns the address. `file` is not counted here before success is certain.

    `may` holds the VM_MAY* rights the file's access mode leaves. Raises SysError as mmap(2) does.
    """
    if not length or (flags & MAP_HUGETLB and not flags & MAP_ANONYMOUS):
        raise SysError(EINVAL)
    length = page_up(length)
    if flags & MAP_HUGETLB:
        address, length = hugetlb.check_request(mm, address, length, flags)
    if not 0 < length <= TASK_SIZE:
        raise SysError(ENOMEM)
    if file is not None and pgoff + (length >> PAGE_SHIFT) > 1 << 52:
        raise SysError(EOVERFLOW)
    mm.reserve_areas(1, beyond=1)
    address = _place(mm, address, length, flags)
    vm_flags = _vm_flags(flags, prot, may, file) | mm.lock_future
    _check_limits(mm, address, length, vm_flags, bool(flags & MAP_FIXED))
    if flags & MAP_FIXED and not flags & MAP_FIXED_NOREPLACE:
        unmap_range(mm, address, address + length)
    populate = flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE or vm_flags & VM_LOCKED
    name = ""
    if flags & MAP_HUGETLB:
        name, vm_flags = hugetlb.NAME, hugetlb.area_flags(vm_flags)
        mm.drop_empty_tables(address, address + length)
    file = _backing(mm, flags, length, file)
    vma = mm.insert(Vma(address, address + length, vm_flags, file, pgoff if file is not None else 0, name))
    if flags & MAP_POPULATE and flags & MAP_SFORK:
        _fill_region(mm, vma)
    elif populate:
        fault.prefault_quietly(mm, address, address + length)
    return address


def _fill_region(mm: Mm, vma: Vma) -> None:
    """A populated region is populated: unlike MAP_POPULATE elsewhere it promises that no fault will come."""
    try:
        region.fill(mm, vma)
    except SysError:
        unmap_range(mm, vma.start, vma.end)
        raise


def _vm_flags(flags: int, prot: int, may: int, file: MappedFile | None) -> int:
    """VM_* flags of a new area. Only private anonymous memory grows down."""
    kind = flags & MAP_TYPE
    if flags & MAP_SFORK:
        return _region_flags(flags, prot)
    vm_flags = prot & PROT_ALL | may
    if kind in (MAP_SHARED, MAP_SHARED_VALIDATE):
        vm_flags |= VM_SHARED | VM_MAYSHARE
        if not may & VM_MAYWRITE:
            vm_flags &= ~VM_SHARED  # a read-only descriptor: never written, so treated as private (Linux do_mmap)
    elif kind != MAP_PRIVATE:
        raise SysError(EINVAL)
    if flags & MAP_GROWSDOWN:
        if kind != MAP_PRIVATE or file is not None or flags & MAP_HUGETLB:
            raise SysError(EINVAL)
        vm_flags |= VM_GROWSDOWN
    if flags & MAP_NORESERVE:
        vm_flags |= VM_NORESERVE
    if flags & MAP_LOCKED:
        vm_flags |= VM_LOCKED
    return vm_flags


def _region_flags(flags: int, prot: int) -> int:
    """VM_* flags of a region for sfork: anonymous, neither shared nor private, never code (S7)."""
    if not flags & MAP_ANONYMOUS or flags & (MAP_TYPE | MAP_GROWSDOWN) or prot & PROT_EXEC:
        raise SysError(EINVAL)
    locked = VM_LOCKED if flags & MAP_LOCKED else 0
    return prot & PROT_ALL | VM_MAYREAD | VM_MAYWRITE | VM_SHARED | VM_MAYSHARE | VM_SFORK | locked


def _place(mm: Mm, address: int, length: int, flags: int) -> int:
    """Choose the address: fixed, the hint if free, else the highest gap below the mmap base."""
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        if address > TASK_SIZE - length:
            raise SysError(ENOMEM)
        if address & (PAGE_SIZE - 1):
            raise SysError(EINVAL)
        if address < MMAP_MIN_ADDR:
            raise SysError(EPERM)
        if flags & MAP_FIXED_NOREPLACE and mm.overlapping(address, address + length):
            raise SysError(EEXIST)
        return address
    align = PMD_SIZE if flags & MAP_HUGETLB else PAGE_SIZE
    hint = max(page_down(address), MMAP_MIN_ADDR) if address else 0
    end = END_32BIT if flags & MAP_32BIT else TASK_SIZE
    if hint and hint <= end - length and mm.is_free(hint, hint + length):
        return hint
    if flags & MAP_32BIT:
        return mm.find_gap(length, BEGIN_32BIT, END_32BIT, align)
    try:
        return mm.find_gap(length, align=align)
    except SysError:
        return mm.find_gap(length, MMAP_BASE, TASK_SIZE, align)


def _check_limits(mm: Mm, address: int, length: int, vm_flags: int, fixed: bool) -> None:
    """RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, and the refusal of obvious overcommit (overcommit_memory 0)."""
    limits = mm.limits
    if limits.address_space != UNLIMITED:  # to add up all areas is not cheap
        overlapping = mm.overlapping(address, address + length) if fixed else ()
        replaced = sum(min(v.end, address + length) - max(v.start, address) for v in overlapping)
        if (mm.total_pages() << PAGE_SHIFT) + length - replaced > limits.address_space:
            raise SysError(ENOMEM)
    private_writable = vm_flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == VM_WRITE
    if private_writable and limits.data != UNLIMITED and (mm.data_pages() << PAGE_SHIFT) + length > limits.data:
        raise SysError(ENOMEM)
    if vm_flags & VM_LOCKED and (mm.locked_pages() << PAGE_SHIFT) + length > mm.limits.locked:
        raise SysError(EAGAIN)
    if vm_flags & VM_WRITE and not vm_flags & VM_NORESERVE and length >> PAGE_SHIFT > mm.frames.total:
        raise SysError(ENOMEM)


def _backing(mm: Mm, flags: int, length: int, file: MappedFile | None) -> MappedFile | None:
    """The file of the new area, with a reference for it."""
    if not flags & MAP_ANONYMOUS and file is not None:
        file.get()
        return file
    if flags & MAP_SFORK:
        return region.SharedArea(mm.frames, length)
    if flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE):
        return (hugetlb.HugeMemory if flags & MAP_HUGETLB else SharedMemory)(mm.frames, length)
    return None


def munmap(mm: Mm, address: int, length: int) -> None:
    """Unmap [address, address + length). Raises SysError(EINVAL, ENOMEM) with nothing changed."""
    if address & (PAGE_SIZE - 1) or not length or length > TASK_SIZE or address > TASK_SIZE - length:
        raise SysError(EINVAL)
    unmap_range(mm, address, address + page_up(length))


def unmap_range(mm: Mm, start: int, end: int) -> None:
    """Remove every mapping in the page-aligned [start, end), splitting at the ends.

    Raises SysError(ENOMEM) with nothing changed.
    """
    if not mm.overlapping(start, end):
        return
    mm.check_unsealed(start, end)
    mm.check_ends(start, end)
    mm.pt.claim_edges(start, end)
    vmas = mm.isolate(start, end)
    lo, hi = vmas[0].start, vmas[-1].end
    with mm.gather() as tlb:
        mm.pt.zap(lo, hi, tlb, unlink=True)
        mm.remove(vmas)
        for table in mm.pt.detach_range(lo, hi):
            tlb.release_table(table)


def brk(mm: Mm, address: int) -> int:
    """Move the end of the heap; returns the end in force afterwards (the old one if refused), as brk(2) does."""
    if address < mm.start_brk:
        return mm.brk
    old, new = page_up(mm.brk), page_up(address)
    try:
        if new > old:
            _grow_heap(mm, old, new)
        elif new < old and not mm.overlapping(new, old):
            return mm.brk  # somebody unmapped it already; Linux since 6.1 leaves the break alone then
        elif new < old:
            unmap_range(mm, new, old)
    except SysError:
        return mm.brk
    mm.brk = address
    return address


def _grow_heap(mm: Mm, old: int, new: int) -> None:
    if new > TASK_SIZE or not mm.is_free(old, new + PAGE_SIZE) or new - mm.start_brk > mm.limits.data:
        raise SysError(ENOMEM)
    flags = VM_READ | VM_WRITE | VM_MAY | mm.lock_future
    _check_limits(mm, old, new - old, flags, False)
    mm.reserve_areas(1, beyond=1)
    vma = mm.insert(Vma(old, new, flags, name="[heap]"))
    if vma.flags & VM_LOCKED:
        fault.prefault_quietly(mm, old, new)
