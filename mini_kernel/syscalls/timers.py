"""Timers that send signals: alarm, setitimer, timer_create."""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel.cputime import CpuItimer, CpuTimer
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.posix_timer import PosixTimer
from mini_kernel.syscalls.sending import has_room
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.syscalls.times import cpu_clock, is_real, read_clock, read_timespec
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import EAGAIN, EINVAL, EOPNOTSUPP
from mini_kernel.uapi.numbers import (
    SYS_alarm,
    SYS_getitimer,
    SYS_setitimer,
    SYS_timer_create,
    SYS_timer_delete,
    SYS_timer_getoverrun,
    SYS_timer_gettime,
    SYS_timer_settime,
)
from mini_kernel.uapi.signal import (
    NSIG,
    SIGALRM,
    SIGEV_NONE,
    SIGEV_SIGNAL,
    SIGEV_THREAD,
    SIGEV_THREAD_ID,
    SIGPROF,
    SIGVTALRM,
)
from mini_kernel.uapi.time import (
    CLOCK_BOOTTIME_ALARM,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_ALARM,
    CLOCK_REALTIME_COARSE,
    ITIMER_PROF,
    ITIMER_REAL,
    ITIMER_VIRTUAL,
    TIMER_ABSTIME,
)

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_SECOND: Final = 1_000_000_000
_MAX_SECONDS: Final = 0xFFFF_FFFF  # of alarm(2)
_CPU_SIGNALS: Final = {ITIMER_VIRTUAL: SIGVTALRM, ITIMER_PROF: SIGPROF}
_SIGEVENT: Final = struct.Struct("<Qiii44x")  # sigev_value, sigev_signo, sigev_notify, sigev_notify_thread_id
#: Clocks that can be read, but have no timers; those for alarms need a real-time clock chip.
_NO_TIMERS: Final = frozenset((
    CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM,
))  # fmt: skip


class _Setting(NamedTuple):
    """What getitimer(2) and timer_gettime(2) say, ns."""

    interval_ns: int
    left_ns: int


# -- alarm and setitimer -----------------------------------------------------------------------------


def _set_real(k: "Kernel", t: Task, value_ns: int, interval_ns: int) -> _Setting:
    """ITIMER_REAL: the old setting."""
    timer, now = t.process.itimer_real, k.clock.now_ns()
    before = _Setting(timer.interval_ns, max(1000, timer.left(now)) if timer.armed else 0)
    if value_ns:
        k.sched.timers.arm(timer, now + value_ns, interval_ns)
    else:
        timer.disarm()
        timer.interval_ns = 0
    return before


@syscall(SYS_alarm)
def sys_alarm(k: "Kernel", t: Task, seconds: int) -> int:
    """alarm(2): the rest of the last one, rounded to seconds but never to none."""
    left = _set_real(k, t, u32(seconds) * _SECOND, 0).left_ns
    whole, rest = divmod(left, _SECOND)
    return whole + ((not whole and rest > 0) or rest >= _SECOND // 2)


def _set_cpu(k: "Kernel", t: Task, which: int, value_ns: int, interval_ns: int) -> _Setting:
    process = t.process
    before = _get_itimer(k, t, which)
    if which not in process.cpu_itimers:
        process.cpu_itimers[which] = CpuItimer(process, _CPU_SIGNALS[which]).timer
    timer = process.cpu_itimers[which]
    assert isinstance(timer, CpuTimer)
    timer.disarm()
    timer.interval_ns = 0
    if value_ns:
        timer.arm(timer.clock.now_ns() + value_ns, interval_ns)
    return before


def _get_itimer(k: "Kernel", t: Task, which: int) -> _Setting:
    """Raises SysError(EINVAL)."""
    if which == ITIMER_REAL:
        timer = t.process.itimer_real
        return _Setting(timer.interval_ns, max(1000, timer.left(k.clock.now_ns())) if timer.armed else 0)
    if which not in _CPU_SIGNALS:
        raise SysError(EINVAL)
    timer = t.process.cpu_itimers.get(which)
    if not isinstance(timer, CpuTimer) or not timer.armed:
        return _Setting(0, 0)
    k.sched.credit()
    return _Setting(timer.interval_ns, max(1000, timer.left(timer.clock.now_ns())))


def _read_timeval(data: bytes) -> int:
    seconds, microseconds = structs.unpack_timeval(data)
    if seconds < 0 or not 0 <= microseconds < 1_000_000:
        raise SysError(EINVAL)
    return seconds * _SECOND + microseconds * 1000


def _pack_itimerval(setting: _Setting) -> bytes:
    return structs.pack_timeval(setting.interval_ns) + structs.pack_timeval(setting.left_ns)


@syscall(SYS_getitimer)
def sys_getitimer(k: "Kernel", t: Task, which: int, address: int) -> int:
    """getitimer(2)."""
    uaccess.write(t.mm, address, _pack_itimerval(_get_itimer(k, t, s32(which))))
    return 0


@syscall(SYS_setitimer)
def sys_setitimer(k: "Kernel", t: Task, which: int, new: int, old: int) -> int:
    """setitimer(2); no new value means 0, as Linux warns it should not."""
    kind = s32(which)
    raw = uaccess.read(t.mm, new, 32) if new else bytes(32)
    interval, value = _read_timeval(raw[:16]), _read_timeval(raw[16:])
    if kind == ITIMER_REAL:
        before = _set_real(k, t, value, interval)
    elif kind in _CPU_SIGNALS:
        before = _set_cpu(k, t, kind, value, interval)
    else:
        raise SysError(EINVAL)
    if old:
        uaccess.write(t.mm, old, _pack_itimerval(before))
    return 0


# -- timer_create ------------------------------------------------------------------------------------


def _event(k: "Kernel", t: Task, raw: bytes, ident: int) -> tuple[int, int, Task | None]:
    """(signal or 0, value, thread or None) of a struct sigevent, or what stands for none. Raises SysError(EINVAL)."""
    if not raw:
        return SIGALRM, ident, None
    value, signo, notify, tid = _SIGEVENT.unpack(raw)
    if notify == SIGEV_NONE:
        return 0, value, None
    if notify not in (SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID) or not 1 <= signo <= NSIG:
        raise SysError(EINVAL)
    if notify != SIGEV_THREAD_ID:
        return signo, value, None
    thread = k.tasks.get(tid)
    if thread is None or thread.process is not t.process:
        raise SysError(EINVAL)
    return signo, value, thread


@syscall(SYS_timer_create)
def sys_timer_create(k: "Kernel", t: Task, clock: int, event: int, address: int) -> int:
    """timer_create(2). An event that makes no sense uses up a number all the same."""
    which, process = s32(clock), t.process
    raw = uaccess.read(t.mm, event, _SIGEVENT.size) if event else b""
    if which in _NO_TIMERS:
        raise SysError(EOPNOTSUPP)
    read_clock(k, t, which)  # EINVAL if there is none
    if not has_room(k, process):
        raise SysError(EAGAIN)
    ident = process.last_timer = process.last_timer + 1 & 0x7FFF_FFFF
    timer = PosixTimer(ident, process, *_event(k, t, raw, ident))
    timer.realtime = is_real(which)
    counted = cpu_clock(k, t, which)
    if counted is not None:
        timer.use_cpu_clock(counted)
    uaccess.write_u32(t.mm, address, ident)
    process.posix_timers[ident] = timer
    return 0


def _timer(t: Task, ident: int) -> PosixTimer:
    timer = t.process.posix_timers.get(s32(ident))
    if not isinstance(timer, PosixTimer):
        raise SysError(EINVAL)
    return timer


def _pack_setting(k: "Kernel", timer: PosixTimer) -> bytes:
    """struct itimerspec."""
    k.sched.credit()
    left = timer.left(timer.now_ns(k.clock))
    return structs.pack_timespec(timer.timer.interval_ns) + structs.pack_timespec(left)


@syscall(SYS_timer_settime)
def sys_timer_settime(k: "Kernel", t: Task, ident: int, flags: int, new: int, old: int) -> int:
    """timer_settime(2)."""
    if not new:
        raise SysError(EINVAL)
    uaccess.read(t.mm, new, 32)
    interval, value = read_timespec(t, new), read_timespec(t, new + 16)
    timer = _timer(t, ident)
    before = _pack_setting(k, timer)
    if value:
        now, absolute = timer.now_ns(k.clock), bool(flags & TIMER_ABSTIME)
        if not absolute:
            value += now
        elif timer.realtime:
            value += now - k.clock.real_ns()
        timer.set(k.sched.timers, value, interval, absolute)
    else:
        timer.stop()
    if old:
        uaccess.write(t.mm, old, before)
    return 0


@syscall(SYS_timer_gettime)
def sys_timer_gettime(k: "Kernel", t: Task, ident: int, address: int) -> int:
    """timer_gettime(2)."""
    uaccess.write(t.mm, address, _pack_setting(k, _timer(t, ident)))
    return 0


@syscall(SYS_timer_getoverrun)
def sys_timer_getoverrun(k: "Kernel", t: Task, ident: int) -> int:
    """timer_getoverrun(2)."""
    return min(_timer(t, ident).overrun, 0x7FFF_FFFF)


@syscall(SYS_timer_delete)
def sys_timer_delete(k: "Kernel", t: Task, ident: int) -> int:
    """timer_delete(2)."""
    _timer(t, ident).stop()
    del t.process.posix_timers[s32(ident)]
    return 0
