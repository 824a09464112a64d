"""System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.ipc.shm import Attachment, Segment
from mini_kernel.ipc.table import READ, WRITE
from mini_kernel.mm import mmap, uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_ATTACHED, VM_MAY, VM_MAYWRITE
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EINVAL, ENOMEM, EPERM
from mini_kernel.uapi.ipc import (
    IPC_INFO,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SHM_EXEC,
    SHM_HUGETLB,
    SHM_INFO,
    SHM_LOCK,
    SHM_LOCKED,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    SHM_STAT,
    SHM_STAT_ANY,
    SHM_UNLOCK,
    SHMID_DS_SIZE,
    unpack_shmid_ds,
)
from mini_kernel.uapi.mman import MAP_FIXED, MAP_NORESERVE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE
from mini_kernel.uapi.numbers import SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_shmget
from mini_kernel.x86 import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, U64, page_up

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_EXECUTE: Final = 0o111


@syscall(SYS_shmget)
def sys_shmget(k: "Kernel", t: Task, key: int, size: int, flags: int) -> int:
    """shmget(2). There are no huge pages: SHM_HUGETLB makes nothing, with EINVAL as in a Linux without hugetlbfs."""
    key, flags = u32(key), u32(flags)
    segment = k.shm.named(key, flags)
    if segment is None:
        if flags & SHM_HUGETLB:
            raise SysError(EINVAL)
        return k.shm.create(key, size, flags, t.fs).id
    if size > segment.size:
        raise SysError(EINVAL)
    segment.require(flags, t.fs)
    return segment.id


# -- attaching and detaching ----------------------------------------------------------------------------


@syscall(SYS_shmat)
def sys_shmat(k: "Kernel", t: Task, ident: int, address: int, flags: int) -> int:
    """shmat(2): map a segment, where asked or where there is room (Linux do_shmat)."""
    number, flags = s32(ident), u32(flags)
    if number < 0:
        raise SysError(EINVAL)
    fixed = bool(address)
    address = _placed(address, flags)
    prot, wanted, may = _rights(flags)
    segment = k.shm.find(number)
    segment.require(wanted, t.fs)
    if fixed and not flags & SHM_REMAP:
        _require_free(t.mm, address, segment.size)
    how = MAP_SHARED | (MAP_FIXED if fixed else 0) | (0 if segment.reserved else MAP_NORESERVE)
    k.shm.hold(segment)
    try:
        return mmap.mmap(t.mm, address, segment.size, prot, how, Attachment(k.shm, segment), 0, may)
    finally:
        k.shm.release(segment)


def _placed(address: int, flags: int) -> int:
    """The address rounded down if SHM_RND says so. Raises SysError(EINVAL)."""
    if not address and flags & SHM_REMAP:
        raise SysError(EINVAL)
    if address & (PAGE_SIZE - 1):
        if not flags & SHM_RND:
            raise SysError(EINVAL)
        address &= PAGE_MASK
        if not address and flags & SHM_REMAP:
            raise SysError(EINVAL)
    return address


def _rights(flags: int) -> tuple[int, int, int]:
    """(PROT_*, permission bits asked of the segment, VM_MAY* rights of the area)."""
    prot, wanted, may = PROT_READ, READ, VM_MAY | VM_ATTACHED
    if flags & SHM_RDONLY:
        may &= ~VM_MAYWRITE
    else:
        prot, wanted = prot | PROT_WRITE, wanted | WRITE
    if flags & SHM_EXEC:
        prot, wanted = prot | PROT_EXEC, wanted | _EXECUTE
    return prot, wanted, may


def _require_free(mm: Mm, address: int, size: int) -> None:
    """SysError(EINVAL) if something is mapped there, or the range wraps."""
    if address + size > U64 or mm.overlapping(address, address + size):
        raise SysError(EINVAL)


@syscall(SYS_shmdt)
def sys_shmdt(k: "Kernel", t: Task, address: int) -> int:
    """shmdt(2): unmap what is left of the attach that began at `address`.

    ENOMEM, which Linux does not know here, if a PTE table that is shared on demand cannot be copied.
    """
    if address & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    parts = _pieces(t.mm, address)
    if not parts:
        raise SysError(EINVAL)
    for start, end in parts:
        t.mm.pt.claim_edges(start, end)  # all or nothing: from here on no memory is needed
    for start, end in parts:
        mmap.unmap_range(t.mm, start, end)
    return 0


def _pieces(mm: Mm, address: int) -> list[tuple[int, int]]:
    """The areas of the one attach whose first page is, or would be, at `address`: (start, end) each.

    The first area that fits says which attach it is, and how far to look (Linux ksys_shmdt).
    """
    attachment: Attachment | None = None
    found: list[tuple[int, int]] = []
    for vma in mm.vmas[mm.index_after(address) :]:
        file = vma.file
        if attachment is not None and vma.end - address > page_up(attachment.segment.size):
            break
        if not isinstance(file, Attachment) or attachment not in (None, file):
            continue
        if vma.start - address == vma.pgoff << PAGE_SHIFT:
            attachment = file
            found.append((vma.start, vma.end))
    return found


# -- control --------------------------------------------------------------------------------------------


@syscall(SYS_shmctl)
def sys_shmctl(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """shmctl(2)."""
    number, command = s32(ident), s32(command)
    if number < 0 or command < 0:
        raise SysError(EINVAL)
    if command in (IPC_INFO, SHM_INFO):
        uaccess.write(t.mm, buffer, k.shm.limits() if command == IPC_INFO else k.shm.usage())
        return k.shm.highest()
    if command in (IPC_STAT, SHM_STAT, SHM_STAT_ANY):
        return _stat(k, t, number, command, buffer)
    if command in (IPC_SET, IPC_RMID):
        return _change(k, t, number, command, buffer)
    if command in (SHM_LOCK, SHM_UNLOCK):
        return _lock(k.shm.find(number), t, command)
    raise SysError(EINVAL)


def _stat(k: "Kernel", t: Task, number: int, command: int, buffer: int) -> int:
    """IPC_STAT by id, SHM_STAT and SHM_STAT_ANY by index, which return the id."""
    segment = k.shm.find(number) if command == IPC_STAT else k.shm.at_index(number)
    if command != SHM_STAT_ANY:
        segment.require(READ, t.fs)
    uaccess.write(t.mm, buffer, segment.pack())
    return 0 if command == IPC_STAT else segment.id


def _change(k: "Kernel", t: Task, number: int, command: int, buffer: int) -> int:
    """IPC_SET and IPC_RMID, for the owner."""
    data = uaccess.read(t.mm, buffer, SHMID_DS_SIZE) if command == IPC_SET else b""
    segment = k.shm.find(number)
    if not segment.is_owner(t.fs):
        raise SysError(EPERM)
    if command == IPC_RMID:
        k.shm.remove(segment)
    else:
        perm = unpack_shmid_ds(data)[0]
        k.shm.update(segment, perm.uid, perm.gid, perm.mode)
    return 0


def _lock(segment: Segment, t: Task, command: int) -> int:
    """SHM_LOCK and SHM_UNLOCK. Nothing is ever swapped out here, so only the mark in the mode changes."""
    if t.fs.uid:
        if not segment.is_owner(t.fs) or (command == SHM_LOCK and not t.mm.limits.locked):
            raise SysError(EPERM)
        if command == SHM_LOCK and not segment.locked and segment.pages << PAGE_SHIFT > t.mm.limits.locked:
            raise SysError(ENOMEM)
    segment.mode = segment.mode | SHM_LOCKED if command == SHM_LOCK else segment.mode & ~SHM_LOCKED
    return 0
