"""The sched_* family. Policies and priorities are kept and inherited; every thread runs alike, on one CPU."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.capability import CAP_SYS_NICE
from mini_kernel.uapi.errno import E2BIG, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import (
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_sched_getaffinity,
    SYS_sched_getattr,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_rr_get_interval,
    SYS_sched_setaffinity,
    SYS_sched_setattr,
    SYS_sched_setparam,
    SYS_sched_setscheduler,
)
from mini_kernel.uapi.sched import (
    SCHED_BATCH,
    SCHED_DEADLINE,
    SCHED_FIFO,
    SCHED_IDLE,
    SCHED_NORMAL,
    SCHED_RESET_ON_FORK,
    SCHED_RR,
)
from mini_kernel.uapi.structs import pack_timespec

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_REAL_TIME: Final = (SCHED_FIFO, SCHED_RR)
_ORDINARY: Final = (SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE)
_MAX_PRIORITY: Final = 99
_RR_SLICE_NS: Final = 100_000_000
_SLICE_NS: Final = 3_000_000
_ATTR: Final = struct.Struct("<IIQiIQQQ")  # struct sched_attr: size policy flags nice priority runtime deadline period
_ATTR_FULL: Final = 56  # with the two utilisation clamps behind


def _target(k: "Kernel", t: Task, pid: int) -> Task:
    """Raises SysError EINVAL, ESRCH."""
    number = s32(pid)
    if number < 0:
        raise SysError(EINVAL)
    target = k.tasks.get(number) if number else t
    if target is None:
        raise SysError(ESRCH)
    return target


def _set(t: Task, target: Task, policy: int, priority: int) -> int:
    """Check and keep. Raises SysError EINVAL, EPERM."""
    kind = policy & ~SCHED_RESET_ON_FORK
    if kind not in (*_REAL_TIME, *_ORDINARY):
        raise SysError(EINVAL)
    low, high = (1, _MAX_PRIORITY) if kind in _REAL_TIME else (0, 0)
    if not low <= priority <= high:
        raise SysError(EINVAL)
    _may_change(t, target)
    if kind in _REAL_TIME and not t.cred.can(CAP_SYS_NICE):
        raise SysError(EPERM)
    target.policy, target.rt_priority = policy, priority
    return 0


def _may_change(t: Task, target: Task) -> None:
    if t.cred.euid not in (target.cred.euid, target.cred.ruid) and not t.cred.can(CAP_SYS_NICE):
        raise SysError(EPERM)


@syscall(SYS_sched_setscheduler)
def sys_sched_setscheduler(k: "Kernel", t: Task, pid: int, policy: int, param: int) -> int:
    """sched_setscheduler(2)."""
    if s32(policy) < 0 or not param:
        raise SysError(EINVAL)
    priority = s32(uaccess.read_u32(t.mm, param))
    return _set(t, _target(k, t, pid), u32(policy), priority)


@syscall(SYS_sched_setparam)
def sys_sched_setparam(k: "Kernel", t: Task, pid: int, param: int) -> int:
    """sched_setparam(2)."""
    if not param:
        raise SysError(EINVAL)
    target, priority = _target(k, t, pid), s32(uaccess.read_u32(t.mm, param))
    return _set(t, target, target.policy, priority)


@syscall(SYS_sched_getscheduler)
def sys_sched_getscheduler(k: "Kernel", t: Task, pid: int) -> int:
    """sched_getscheduler(2)."""
    return _target(k, t, pid).policy


@syscall(SYS_sched_getparam)
def sys_sched_getparam(k: "Kernel", t: Task, pid: int, param: int) -> int:
    """sched_getparam(2)."""
    if not param:
        raise SysError(EINVAL)
    uaccess.write_u32(t.mm, param, _target(k, t, pid).rt_priority)
    return 0


def _limit(policy: int, real_time: int) -> int:
    if s32(policy) in _REAL_TIME:
        return real_time
    if s32(policy) not in (*_ORDINARY, SCHED_DEADLINE):
        raise SysError(EINVAL)
    return 0


@syscall(SYS_sched_get_priority_max)
def sys_sched_get_priority_max(k: "Kernel", t: Task, policy: int) -> int:
    """sched_get_priority_max(2)."""
    return _limit(policy, _MAX_PRIORITY)


@syscall(SYS_sched_get_priority_min)
def sys_sched_get_priority_min(k: "Kernel", t: Task, policy: int) -> int:
    """sched_get_priority_min(2)."""
    return _limit(policy, 1)


@syscall(SYS_sched_rr_get_interval)
def sys_sched_rr_get_interval(k: "Kernel", t: Task, pid: int, address: int) -> int:
    """sched_rr_get_interval(2): what Linux says, not the time slice of this machine."""
    kind = _target(k, t, pid).policy & ~SCHED_RESET_ON_FORK
    slice_ns = _RR_SLICE_NS if kind == SCHED_RR else 0 if kind == SCHED_FIFO else _SLICE_NS
    uaccess.write(t.mm, address, pack_timespec(slice_ns))
    return 0


# -- affinity ----------------------------------------------------------------------------------------


@syscall(SYS_sched_getaffinity)
def sys_sched_getaffinity(k: "Kernel", t: Task, pid: int, size: int, address: int) -> int:
    """sched_getaffinity(2): one CPU."""
    if u32(size) < 8 or u32(size) & 7:
        raise SysError(EINVAL)
    _target(k, t, pid)
    uaccess.write_u64(t.mm, address, 1)
    return 8


@syscall(SYS_sched_setaffinity)
def sys_sched_setaffinity(k: "Kernel", t: Task, pid: int, size: int, address: int) -> int:
    """sched_setaffinity(2): a set must have the one CPU in it."""
    mask = uaccess.read(t.mm, address, min(u32(size), 1024))
    target = _target(k, t, pid)
    _may_change(t, target)
    if not mask or not mask[0] & 1:
        raise SysError(EINVAL)
    return 0


# -- attributes --------------------------------------------------------------------------------------


@syscall(SYS_sched_setattr)
def sys_sched_setattr(k: "Kernel", t: Task, pid: int, address: int, flags: int) -> int:
    """sched_setattr(2), but for deadline scheduling, which is refused as one would be whose time is booked."""
    if not address or s32(pid) < 0 or u32(flags):
        raise SysError(EINVAL)
    size = uaccess.read_u32(t.mm, address) or _ATTR.size
    if not _ATTR.size <= size <= 4096:
        uaccess.write_u32(t.mm, address, _ATTR_FULL)
        raise SysError(E2BIG)
    raw = uaccess.read(t.mm, address, size)
    if any(raw[_ATTR_FULL:]):
        uaccess.write_u32(t.mm, address, _ATTR_FULL)
        raise SysError(E2BIG)
    _size, policy, own_flags, nice, priority, *_times = _ATTR.unpack_from(raw)
    if s32(policy) < 0 or own_flags & ~1:
        raise SysError(EINVAL)
    target = _target(k, t, pid)
    _set(t, target, policy | (SCHED_RESET_ON_FORK if own_flags & 1 else 0), priority)
    if policy in (SCHED_NORMAL, SCHED_BATCH):
        target.nice = max(-20, min(19, nice))
    return 0


@syscall(SYS_sched_getattr)
def sys_sched_getattr(k: "Kernel", t: Task, pid: int, address: int, size: int, flags: int) -> int:
    """sched_getattr(2)."""
    room = u32(size)
    if not address or not _ATTR.size <= room <= 4096 or u32(flags) or s32(pid) < 0:
        raise SysError(EINVAL)
    target = _target(k, t, pid)
    length = min(room, _ATTR_FULL)
    policy, reset = target.policy & ~SCHED_RESET_ON_FORK, bool(target.policy & SCHED_RESET_ON_FORK)
    nice = 0 if policy in _REAL_TIME else target.nice
    slice_ns = _SLICE_NS if policy in _ORDINARY else 0
    image = _ATTR.pack(length, policy, int(reset), nice, target.rt_priority, slice_ns, 0, 0)
    if length == _ATTR_FULL:
        image += struct.pack("<II", 0, 1024)
    uaccess.write(t.mm, address, image)
    return 0
