"""Files that stand for events: eventfd(2), timerfd_create(2), signalfd(2)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode, EventFile, TimerFile
from mini_kernel.mm import uaccess
from mini_kernel.signalfd import SignalFile
from mini_kernel.syscalls.args import file_of
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import UNBLOCKABLE
from mini_kernel.uapi.errno import EINVAL, EPERM
from mini_kernel.uapi.numbers import (
    SYS_eventfd,
    SYS_eventfd2,
    SYS_signalfd,
    SYS_signalfd4,
    SYS_timerfd_create,
    SYS_timerfd_gettime,
    SYS_timerfd_settime,
)
from mini_kernel.uapi.poll import EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE
from mini_kernel.uapi.structs import NSEC_PER_SEC, pack_timespec
from mini_kernel.uapi.time import (
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    TFD_CLOEXEC,
    TFD_NONBLOCK,
    TFD_TIMER_ABSTIME,
    TFD_TIMER_CANCEL_ON_SET,
)

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_EVENT_FLAGS: Final = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE
_TIMER_FLAGS: Final = TFD_CLOEXEC | TFD_NONBLOCK
_SET_FLAGS: Final = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
_ALARMS: Final = (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)
_CLOCKS: Final = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, *_ALARMS)
_ITIMERSPEC: Final = struct.Struct("<4q")


@syscall(SYS_eventfd2)
def sys_eventfd2(k: "Kernel", t: "Task", count: int, flags: int) -> int:
    """eventfd2(2)."""
    flags = u32(flags)
    if flags & ~_EVENT_FLAGS:
        raise SysError(EINVAL)
    file = EventFile(AnonymousInode(k.vfs.sb, 0o600), flags, u32(count), bool(flags & EFD_SEMAPHORE))
    return t.files.install(file, bool(flags & EFD_CLOEXEC))


@syscall(SYS_eventfd)
def sys_eventfd(k: "Kernel", t: "Task", count: int) -> int:
    """eventfd(2)."""
    return sys_eventfd2(k, t, count, 0)


# -- signalfd -------------------------------------------------------------------------------------------


@syscall(SYS_signalfd4)
def sys_signalfd4(k: "Kernel", t: "Task", fd: int, mask: int, size: int, flags: int) -> int:
    """signalfd4(2): a new file for fd -1, else another mask for an old one."""
    flags = u32(flags)
    if size != 8:
        raise SysError(EINVAL)
    wanted = uaccess.read_u64(t.mm, mask) & ~UNBLOCKABLE
    if flags & ~_TIMER_FLAGS:  # SFD_* have the same values
        raise SysError(EINVAL)
    if s32(fd) == -1:
        file = SignalFile(AnonymousInode(k.vfs.sb, 0o600), flags, wanted, k.sched)
        return t.files.install(file, bool(flags & TFD_CLOEXEC))
    file = file_of(t, fd)
    if not isinstance(file, SignalFile):
        raise SysError(EINVAL)
    file.mask = wanted
    file.queue.wake()
    return s32(fd)


@syscall(SYS_signalfd)
def sys_signalfd(k: "Kernel", t: "Task", fd: int, mask: int, size: int) -> int:
    """signalfd(2)."""
    return sys_signalfd4(k, t, fd, mask, size, 0)


# -- timerfd --------------------------------------------------------------------------------------------


@syscall(SYS_timerfd_create)
def sys_timerfd_create(k: "Kernel", t: "Task", clock: int, flags: int) -> int:
    """timerfd_create(2). The machine never sleeps, so the alarm clocks are like the others."""
    clock, flags = s32(clock), u32(flags)
    if flags & ~_TIMER_FLAGS or clock not in _CLOCKS:
        raise SysError(EINVAL)
    if clock in _ALARMS and t.fs.uid:
        raise SysError(EPERM)
    realtime = clock in (CLOCK_REALTIME, CLOCK_REALTIME_ALARM)
    file = TimerFile(AnonymousInode(k.vfs.sb, 0o600), flags, k.sched.timers, realtime)
    return t.files.install(file, bool(flags & TFD_CLOEXEC))


def _timer(t: "Task", fd: int) -> TimerFile:
    file = file_of(t, fd)
    if not isinstance(file, TimerFile):
        raise SysError(EINVAL)
    return file


def _setting(file: TimerFile) -> bytes:
    """struct itimerspec: the period and the time that is left."""
    return pack_timespec(file.interval_ns) + pack_timespec(file.left())


@syscall(SYS_timerfd_settime)
def sys_timerfd_settime(k: "Kernel", t: "Task", fd: int, flags: int, new: int, old: int) -> int:
    """timerfd_settime(2)."""
    flags = u32(flags)
    period_s, period, value_s, value = _ITIMERSPEC.unpack(uaccess.read(t.mm, new, _ITIMERSPEC.size))
    valid = all(s >= 0 and 0 <= ns < NSEC_PER_SEC for s, ns in ((period_s, period), (value_s, value)))
    if flags & ~_SET_FLAGS or not valid:
        raise SysError(EINVAL)
    file = _timer(t, fd)
    before = _setting(file)
    when = value_s * NSEC_PER_SEC + value
    deadline = _deadline(k, file, when, bool(flags & TFD_TIMER_ABSTIME)) if when else None
    file.set(deadline, period_s * NSEC_PER_SEC + period, bool(flags & TFD_TIMER_ABSTIME))
    if old:
        uaccess.write(t.mm, old, before)
    return 0


def _deadline(k: "Kernel", file: TimerFile, when: int, absolute: bool) -> int:
    """CLOCK_MONOTONIC of a time that was given as a duration or on the timer's clock."""
    now = k.clock.now_ns()
    if not absolute:
        return now + when
    return when - k.clock.real_ns() + now if file.realtime else when


@syscall(SYS_timerfd_gettime)
def sys_timerfd_gettime(k: "Kernel", t: "Task", fd: int, current: int) -> int:
    """timerfd_gettime(2)."""
    uaccess.write(t.mm, current, _setting(_timer(t, fd)))
    return 0
