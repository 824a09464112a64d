"""epoll(7): epoll_create(2), epoll_ctl(2), epoll_wait(2)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.epoll import EpollFile
from mini_kernel.fs.event import AnonymousInode
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import file_of
from mini_kernel.syscalls.poll import deadline_of, enter_mask, leave_mask, read_timespec, wait
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.uapi.errno import EFAULT, EINVAL, EPERM
from mini_kernel.uapi.numbers import (
    SYS_epoll_create,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_epoll_wait,
)
from mini_kernel.uapi.poll import EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
from mini_kernel.x86 import TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_EVENT: Final = struct.Struct("<IQ")  # struct epoll_event, packed
_MAX_EVENTS: Final = 0x7FFF_FFFF // _EVENT.size


@syscall(SYS_epoll_create1)
def sys_epoll_create1(k: "Kernel", t: "Task", flags: int) -> int:
    """epoll_create1(2)."""
    flags = u32(flags)
    if flags & ~EPOLL_CLOEXEC:
        raise SysError(EINVAL)
    return t.files.install(EpollFile(AnonymousInode(k.vfs.sb, 0o600)), bool(flags))


@syscall(SYS_epoll_create)
def sys_epoll_create(k: "Kernel", t: "Task", size: int) -> int:
    """epoll_create(2); the size is a hint that nobody needs, but must be positive."""
    if s32(size) <= 0:
        raise SysError(EINVAL)
    return sys_epoll_create1(k, t, 0)


@syscall(SYS_epoll_ctl)
def sys_epoll_ctl(k: "Kernel", t: "Task", epfd: int, op: int, fd: int, event: int) -> int:
    """epoll_ctl(2)."""
    op = s32(op)
    events, data = _EVENT.unpack(uaccess.read(t.mm, event, _EVENT.size)) if op != EPOLL_CTL_DEL else (0, 0)
    epoll, file = file_of(t, epfd), file_of(t, fd)
    if not file.can_poll:
        raise SysError(EPERM)
    if epoll is file or not isinstance(epoll, EpollFile):
        raise SysError(EINVAL)
    fd = u32(fd)
    if op == EPOLL_CTL_ADD:
        epoll.add(fd, file, events, data)
    elif op == EPOLL_CTL_MOD:
        epoll.modify(fd, file, events, data)
    elif op == EPOLL_CTL_DEL:
        epoll.remove(fd, file)
    else:
        raise SysError(EINVAL)
    return 0


def _epoll_wait(k: "Kernel", t: "Task", epfd: int, events: int, limit: int, timeout_ns: int | None) -> int:
    limit = s32(limit)
    if not 0 < limit <= _MAX_EVENTS:
        raise SysError(EINVAL)
    if events + limit * _EVENT.size > TASK_SIZE:
        raise SysError(EFAULT)
    epoll = file_of(t, epfd)
    if not isinstance(epoll, EpollFile):
        raise SysError(EINVAL)
    deadline = deadline_of(k, t, timeout_ns)
    found = epoll.harvest(limit)
    if not found:
        wait(k, [epoll.queue], deadline)
    uaccess.write(t.mm, events, b"".join(_EVENT.pack(bits, watch.data) for watch, bits in found))
    epoll.reported(found)
    return len(found)


def _milliseconds(timeout: int) -> int | None:
    """A timeout in ms as ns; below 0 is for ever."""
    return s32(timeout) * 1_000_000 if s32(timeout) >= 0 else None


@syscall(SYS_epoll_wait)
def sys_epoll_wait(k: "Kernel", t: "Task", epfd: int, events: int, limit: int, timeout: int) -> int:
    """epoll_wait(2)."""
    return _epoll_wait(k, t, epfd, events, limit, _milliseconds(timeout))


def _masked(
    k: "Kernel", t: "Task", epfd: int, events: int, limit: int, timeout_ns: int | None, mask: int, size: int
) -> int:
    enter_mask(t, mask, size)
    try:
        count = _epoll_wait(k, t, epfd, events, limit, timeout_ns)
    except SysError:
        leave_mask(t)
        raise
    leave_mask(t)
    return count


@syscall(SYS_epoll_pwait)
def sys_epoll_pwait(
    k: "Kernel", t: "Task", epfd: int, events: int, limit: int, timeout: int, mask: int, size: int
) -> int:
    """epoll_pwait(2)."""
    return _masked(k, t, epfd, events, limit, _milliseconds(timeout), mask, size)


@syscall(SYS_epoll_pwait2)
def sys_epoll_pwait2(
    k: "Kernel", t: "Task", epfd: int, events: int, limit: int, timeout: int, mask: int, size: int
) -> int:
    """epoll_pwait2(2): the timeout is a timespec."""
    return _masked(k, t, epfd, events, limit, read_timespec(t, timeout), mask, size)
