"""mmap and kin: thin wrappers that turn descriptors into backings and arguments into calls of mini_kernel.mm."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, RegularOpen
from mini_kernel.fs.inode import RegularFile
from mini_kernel.mm import advise, protect, remap, uaccess
from mini_kernel.mm import mmap as mm_mmap
from mini_kernel.mm.vma import VM_MAY, VM_MAYWRITE
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.syscalls.usage import note_resident
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EACCES, EAGAIN, EINVAL, EPERM
from mini_kernel.uapi.mman import (
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    MLOCK_ONFAULT,
    MS_SYNC,
    PROT_WRITE,
)
from mini_kernel.uapi.numbers import (
    SYS_brk,
    SYS_madvise,
    SYS_mincore,
    SYS_mlock,
    SYS_mlock2,
    SYS_mlockall,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_mseal,
    SYS_msync,
    SYS_munlock,
    SYS_munlockall,
    SYS_munmap,
    SYS_pkey_alloc,
    SYS_pkey_free,
    SYS_pkey_mprotect,
)
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, page_up

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


@syscall(SYS_mmap)
def sys_mmap(k: "Kernel", t: Task, address: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """mmap(2)."""
    if offset & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    prot, flags = u32(prot), u32(flags)
    if flags & MAP_ANONYMOUS:
        return mm_mmap.mmap(t.mm, address, length, prot, flags)
    file = t.files.get(s32(fd))
    if file.maps_anonymous():
        return mm_mmap.mmap(t.mm, address, length, prot, flags | MAP_ANONYMOUS)
    may = _file_rights(file, prot, flags)
    return mm_mmap.mmap(t.mm, address, length, prot, flags, file, offset >> PAGE_SHIFT, may)


def _file_rights(file: File, prot: int, flags: int) -> int:
    """The VM_MAY* rights an open file gives a mapping. Raises SysError(EACCES, ENODEV)."""
    if not file.can_read:
        raise SysError(EACCES)
    may = VM_MAY
    if flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE) and not file.can_write:
        if prot & PROT_WRITE:
            raise SysError(EACCES)
        may &= ~VM_MAYWRITE
    elif flags & MAP_TYPE != MAP_PRIVATE and isinstance(file.inode, RegularFile) and not file.inode.writable():
        if prot & PROT_WRITE:
            raise SysError(EPERM)
        may &= ~VM_MAYWRITE
    assert file.cache is not None  # raises ENODEV for what cannot be mapped
    return may


@syscall(SYS_munmap)
def sys_munmap(k: "Kernel", t: Task, address: int, length: int) -> int:
    """munmap(2)."""
    note_resident(t)
    mm_mmap.munmap(t.mm, address, length)
    return 0


@syscall(SYS_brk)
def sys_brk(k: "Kernel", t: Task, address: int) -> int:
    """brk(2), the system call: returns the break in force."""
    note_resident(t)
    return mm_mmap.brk(t.mm, address)


@syscall(SYS_mprotect)
def sys_mprotect(k: "Kernel", t: Task, address: int, length: int, prot: int) -> int:
    """mprotect(2)."""
    protect.mprotect(t.mm, address, length, prot)
    return 0


@syscall(SYS_pkey_mprotect)
def sys_pkey_mprotect(k: "Kernel", t: Task, address: int, length: int, prot: int, key: int) -> int:
    """pkey_mprotect(2) on a CPU without protection keys: none is ever allocated."""
    if s32(key) != -1:
        raise SysError(EINVAL)
    protect.mprotect(t.mm, address, length, prot)
    return 0


@syscall(SYS_pkey_alloc)
def sys_pkey_alloc(k: "Kernel", t: Task, flags: int, rights: int) -> int:
    """pkey_alloc(2): EINVAL, as Linux says without the CPU's support for protection keys."""
    raise SysError(EINVAL)


@syscall(SYS_pkey_free)
def sys_pkey_free(k: "Kernel", t: Task, key: int) -> int:
    """pkey_free(2) of a key that cannot have been allocated."""
    raise SysError(EINVAL)


@syscall(SYS_mseal)
def sys_mseal(k: "Kernel", t: Task, address: int, length: int, flags: int) -> int:
    """mseal(2)."""
    if flags:
        raise SysError(EINVAL)
    advise.mseal(t.mm, address, length)
    return 0


@syscall(SYS_mremap)
def sys_mremap(k: "Kernel", t: Task, old: int, old_length: int, new_length: int, flags: int, new: int) -> int:
    """mremap(2)."""
    note_resident(t)
    return remap.mremap(t.mm, old, old_length, new_length, flags, new)


@syscall(SYS_madvise)
def sys_madvise(k: "Kernel", t: Task, address: int, length: int, advice: int) -> int:
    """madvise(2)."""
    note_resident(t)
    if s32(advice) == MADV_REMOVE:
        _require_unsealed(t, address, length)
    advise.madvise(t.mm, address, length, s32(advice))
    return 0


def _require_unsealed(t: Task, address: int, length: int) -> None:
    """SysError(EPERM) if a seal keeps a file mapped there from losing content (memfd_create(2))."""
    for vma in t.mm.overlapping(address, address + length):
        if isinstance(vma.file, File) and isinstance(vma.file.inode, RegularFile) and not vma.file.inode.writable():
            raise SysError(EPERM)


@syscall(SYS_mlock)
def sys_mlock(k: "Kernel", t: Task, address: int, length: int) -> int:
    """mlock(2)."""
    advise.mlock(t.mm, address, length)
    return 0


@syscall(SYS_mlock2)
def sys_mlock2(k: "Kernel", t: Task, address: int, length: int, flags: int) -> int:
    """mlock2(2)."""
    if u32(flags) & ~MLOCK_ONFAULT:
        raise SysError(EINVAL)
    advise.mlock(t.mm, address, length, bool(flags & MLOCK_ONFAULT))
    return 0


@syscall(SYS_munlock)
def sys_munlock(k: "Kernel", t: Task, address: int, length: int) -> int:
    """munlock(2)."""
    advise.munlock(t.mm, address, length)
    return 0


@syscall(SYS_mlockall)
def sys_mlockall(k: "Kernel", t: Task, flags: int) -> int:
    """mlockall(2)."""
    advise.mlockall(t.mm, u32(flags))
    return 0


@syscall(SYS_munlockall)
def sys_munlockall(k: "Kernel", t: Task) -> int:
    """munlockall(2)."""
    advise.munlockall(t.mm)
    return 0


@syscall(SYS_mincore)
def sys_mincore(k: "Kernel", t: Task, address: int, length: int, vector: int) -> int:
    """mincore(2)."""
    if page_up(length) >> PAGE_SHIFT > k.frames.total * 64:
        raise SysError(EAGAIN)
    uaccess.write(t.mm, vector, advise.mincore(t.mm, address, length))
    return 0


@syscall(SYS_msync)
def sys_msync(k: "Kernel", t: Task, address: int, length: int, flags: int) -> int:
    """msync(2)."""
    advise.msync(t.mm, address, length, u32(flags))
    for file in {id(v.file): v.file for v in t.mm.overlapping(address, address + length)}.values():
        if isinstance(file, RegularOpen) and file.inode.backing is not None:
            file.inode.backing.write_back(bool(flags & MS_SYNC))
    return 0
