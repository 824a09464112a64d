"""Another process's memory: process_vm_readv, process_vm_writev and process_madvise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.pidfd import PidFile
from mini_kernel.syscalls.args import Iov, file_of, read_iov
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EBADF, EFAULT, EINVAL, ESRCH
from mini_kernel.uapi.mman import MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED
from mini_kernel.uapi.numbers import SYS_process_madvise, SYS_process_vm_readv, SYS_process_vm_writev
from mini_kernel.x86 import PAGE_SIZE, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

#: Advice that changes nothing of what another process sees (Linux process_madvise_remote_valid).
_HARMLESS: Final = (MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED)


def _pieces(local: Iov, remote: Iov) -> Iterator[tuple[int, int, int]]:
    """(local address, remote address, length) of what is to be copied, in order; none crosses a page on either side."""
    mine = [pair for pair in local if pair[1]]
    for theirs, left in remote:
        while left and mine:
            address, room = mine[0]
            n = min(left, room, PAGE_SIZE - address % PAGE_SIZE, PAGE_SIZE - theirs % PAGE_SIZE)
            yield address, theirs, n
            theirs, left = theirs + n, left - n
            if room == n:
                mine.pop(0)
            else:
                mine[0] = address + n, room - n


def _view(mm: Mm, address: int, n: int, write: bool) -> memoryview:
    """The RAM behind `n` bytes within one page. Raises SysError(EFAULT)."""
    if address + n > TASK_SIZE:
        raise SysError(EFAULT)
    physical = uaccess.translate(mm, address, write, n)
    return mm.frames.ram.data[physical : physical + n]


def _transfer(k: "Kernel", t: Task, pid: int, local: tuple[int, int], remote: tuple[int, int], store: bool) -> int:
    """Copy between the caller's buffers and another process's; what was copied before the first bad address.

    Raises SysError EINVAL, EFAULT, ESRCH.
    """
    mine, total = read_iov(t, *local)
    theirs, _length = read_iov(t, *remote)
    if not total:
        return 0
    other = k.tasks.get(s32(pid))
    if other is None:
        raise SysError(ESRCH)
    done = 0
    try:
        for here, there, n in _pieces(mine, theirs):
            outside = _view(other.mm, there, n, store)
            inside = _view(t.mm, here, n, not store)
            if store:
                outside[:] = inside
            else:
                inside[:] = outside
            done += n
    except SysError:
        if not done:
            raise
    return done


@syscall(SYS_process_vm_readv)
def sys_process_vm_readv(
    k: "Kernel", t: Task, pid: int, local: int, local_count: int, remote: int, remote_count: int, flags: int
) -> int:
    """process_vm_readv(2)."""
    if flags:
        raise SysError(EINVAL)
    return _transfer(k, t, pid, (local, local_count), (remote, remote_count), False)


@syscall(SYS_process_vm_writev)
def sys_process_vm_writev(
    k: "Kernel", t: Task, pid: int, local: int, local_count: int, remote: int, remote_count: int, flags: int
) -> int:
    """process_vm_writev(2)."""
    if flags:
        raise SysError(EINVAL)
    return _transfer(k, t, pid, (local, local_count), (remote, remote_count), True)


@syscall(SYS_process_madvise)
def sys_process_madvise(k: "Kernel", t: Task, pidfd: int, vector: int, count: int, advice: int, flags: int) -> int:
    """process_madvise(2): the bytes advised before the first range that fails."""
    if u32(flags):
        raise SysError(EINVAL)
    ranges, _length = read_iov(t, vector, count)
    file = file_of(t, pidfd)
    if not isinstance(file, PidFile):
        raise SysError(EBADF)
    mm = next((task.user_mm for task in file.process.tasks if task.user_mm is not None), None)
    if mm is None:
        raise SysError(ESRCH)
    if mm is not t.mm and s32(advice) not in _HARMLESS:
        raise SysError(EINVAL)
    done = 0
    for start, length in ranges:
        try:
            advise.madvise(mm, start, length, s32(advice))
        except SysError:
            if not done:
                raise
            break
        done += length
    return done
