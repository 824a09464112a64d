"""Clocks and sleeping, on virtual time."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.clock import NS_PER_BLOCK, NS_PER_TICK
from mini_kernel.cputime import CpuClock, CpuTimer
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import INTERRUPTED, s32, syscall
from mini_kernel.syscalls.usage import note_resident, pack_usage
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import EINVAL, EOPNOTSUPP, EPERM
from mini_kernel.uapi.numbers import (
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clock_settime,
    SYS_getrusage,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_settimeofday,
    SYS_time,
    SYS_times,
)
from mini_kernel.uapi.resource import RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD
from mini_kernel.uapi.time import (
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_REALTIME,
    CLOCK_REALTIME_COARSE,
    CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID,
    TIMER_ABSTIME,
)
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_SECOND: Final = 1_000_000_000
_REAL: Final = frozenset((CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI))
_MONOTONIC: Final = frozenset((CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME))
_COARSE: Final = frozenset((CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE))
_COARSE_NS: Final = 4_000_000
_PER_THREAD, _WHICH, _DEVICE = 4, 3, 3  # in the low bits of the clock of a process (Linux CPUCLOCK_*)
_LAST_SETTABLE_S: Final = ((1 << 63) - 1) // _SECOND - 30 * 365 * 24 * 3600  # Linux TIME_SETTOD_SEC_MAX
_TIMEX: Final = struct.Struct("<I4x4qi4x8qi4x5qi44x")
_STA_UNSYNC: Final = 0x40
_TIME_ERROR: Final = 5


# -- clocks ------------------------------------------------------------------------------------------


def cpu_clock(k: "Kernel", t: Task, clock: int) -> CpuClock | None:
    """The processor time that a clock counts, None for clocks that count something else. Raises SysError(EINVAL)."""
    if clock == CLOCK_PROCESS_CPUTIME_ID:
        return CpuClock(t.process)
    if clock == CLOCK_THREAD_CPUTIME_ID:
        return CpuClock(t.process, t)
    if clock >= 0:
        return None
    pid = ~(clock >> 3)
    if clock & _WHICH == _DEVICE:
        raise SysError(EINVAL)
    if clock & _PER_THREAD:
        task = k.tasks.get(pid) if pid else t
        if task is None or task.process is not t.process:
            raise SysError(EINVAL)
        return CpuClock(t.process, task)
    process = k.processes.get(pid) if pid else t.process
    if process is None:
        raise SysError(EINVAL)
    return CpuClock(process)


def read_clock(k: "Kernel", t: Task, clock: int) -> int:
    """The time on a clock, ns. Raises SysError(EINVAL)."""
    if clock in _REAL:
        return k.clock.real_ns()
    if clock in _MONOTONIC:
        return k.clock.now_ns()
    counted = cpu_clock(k, t, clock)
    if counted is None:
        raise SysError(EINVAL)
    k.sched.credit()
    return counted.now_ns()


def is_real(clock: int) -> bool:
    """True for clocks that clock_settime(2) sets."""
    return clock in _REAL


def read_timespec(t: Task, address: int) -> int:
    """Nanoseconds of a timespec. Raises SysError EFAULT, EINVAL."""
    seconds, nanoseconds = structs.unpack_timespec(uaccess.read(t.mm, address, 16))
    if seconds < 0 or not 0 <= nanoseconds < _SECOND:
        raise SysError(EINVAL)
    return seconds * _SECOND + nanoseconds


@syscall(SYS_clock_gettime)
def sys_clock_gettime(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_gettime(2)."""
    uaccess.write(t.mm, address, structs.pack_timespec(read_clock(k, t, s32(clock))))
    return 0


@syscall(SYS_clock_getres)
def sys_clock_getres(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_getres(2)."""
    read_clock(k, t, s32(clock))
    if address:
        uaccess.write(t.mm, address, structs.pack_timespec(_COARSE_NS if s32(clock) in _COARSE else 1))
    return 0


@syscall(SYS_gettimeofday)
def sys_gettimeofday(k: "Kernel", t: Task, tv: int, tz: int) -> int:
    """gettimeofday(2)."""
    if tv:
        uaccess.write(t.mm, tv, structs.pack_timeval(k.clock.real_ns()))
    if tz:
        uaccess.write(t.mm, tz, bytes(8))
    return 0


@syscall(SYS_time)
def sys_time(k: "Kernel", t: Task, address: int) -> int:
    """time(2)."""
    now = k.clock.real_ns() // _SECOND
    if address:
        uaccess.write_u64(t.mm, address, now)
    return now


# -- setting the clock -------------------------------------------------------------------------------


def _set_real(k: "Kernel", t: Task, ns: int) -> None:
    if ns // _SECOND >= _LAST_SETTABLE_S or ns < k.clock.now_ns():
        raise SysError(EINVAL)
    if t.fs.uid:
        raise SysError(EPERM)
    k.sched.timers.real_time_set(k.clock.set_real(ns))


@syscall(SYS_clock_settime)
def sys_clock_settime(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_settime(2): the machine's own clock, so root may."""
    which = s32(clock)
    if which != CLOCK_REALTIME:
        raise SysError(EPERM if which < 0 and cpu_clock(k, t, which) else EINVAL)
    _set_real(k, t, read_timespec(t, address))
    return 0


@syscall(SYS_settimeofday)
def sys_settimeofday(k: "Kernel", t: Task, tv: int, tz: int) -> int:
    """settimeofday(2): the time zone is accepted and forgotten."""
    if tv:
        seconds, microseconds = structs.unpack_timeval(uaccess.read(t.mm, tv, 16))
        if not 0 <= microseconds <= 1_000_000:
            raise SysError(EINVAL)
        if seconds < 0 or microseconds == 1_000_000:
            raise SysError(EINVAL)
    else:
        seconds = microseconds = 0
    if tz:
        west, _dst = struct.unpack("<ii", uaccess.read(t.mm, tz, 8))
        if not -15 * 60 <= west <= 15 * 60:
            raise SysError(EINVAL)
        if t.fs.uid:
            raise SysError(EPERM)
    if tv:
        _set_real(k, t, seconds * _SECOND + microseconds * 1000)
    return 0


@syscall(SYS_adjtimex)
def sys_adjtimex(k: "Kernel", t: Task, address: int) -> int:
    """adjtimex(2): reads only, of a clock that nobody disciplines; changes are EPERM."""
    (modes,) = struct.unpack("<I", uaccess.read(t.mm, address, 4))
    uaccess.read(t.mm, address, _TIMEX.size)
    if modes:
        raise SysError(EPERM)
    seconds, ns = divmod(k.clock.real_ns(), _SECOND)
    packed = _TIMEX.pack(
        0, 0, 0, 16_000_000, 16_000_000, _STA_UNSYNC, 2, 1, 32_768_000, seconds, ns // 1000, 10_000, 0, 0, *(0,) * 7
    )  # fmt: skip
    uaccess.write(t.mm, address, packed)
    return _TIME_ERROR


@syscall(SYS_clock_adjtime)
def sys_clock_adjtime(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_adjtime(2)."""
    if s32(clock) != CLOCK_REALTIME:
        read_clock(k, t, s32(clock))
        raise SysError(EOPNOTSUPP)
    return sys_adjtimex(k, t, address)


# -- what has been used ------------------------------------------------------------------------------


@syscall(SYS_times)
def sys_times(k: "Kernel", t: Task, address: int) -> int:
    """times(2)."""
    k.sched.credit()
    mine, children = (ledger.blocks * NS_PER_BLOCK // NS_PER_TICK for ledger in (t.ledger, t.process.children_ledger))
    if address:
        uaccess.write(t.mm, address, struct.pack("<4q", mine, 0, children, 0))
    return k.clock.now_ns() // NS_PER_TICK


@syscall(SYS_getrusage)
def sys_getrusage(k: "Kernel", t: Task, who: int, address: int) -> int:
    """getrusage(2). Of a thread, only processor time is counted apart."""
    k.sched.credit()
    kind = s32(who)
    if kind not in (RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD):
        raise SysError(EINVAL)
    note_resident(t)
    ledger = t.process.children_ledger if kind == RUSAGE_CHILDREN else t.ledger
    uaccess.write(t.mm, address, pack_usage(ledger, blocks=t.blocks if kind == RUSAGE_THREAD else None))
    return 0


# -- sleeping ----------------------------------------------------------------------------------------


def _sleep_until(k: "Kernel", t: Task, deadline: int) -> int:
    """Sleep until virtual time `deadline`, which is kept for when the call is issued again."""
    deadline = t.restart.setdefault("until", deadline)
    if k.clock.now_ns() >= deadline:
        return 0
    raise Block(deadline_ns=deadline)


@syscall(SYS_nanosleep)
def sys_nanosleep(k: "Kernel", t: Task, request: int, remaining: int) -> int:
    """nanosleep(2)."""
    return _sleep_until(k, t, k.clock.now_ns() + read_timespec(t, request))


@syscall(SYS_clock_nanosleep)
def sys_clock_nanosleep(k: "Kernel", t: Task, clock: int, flags: int, request: int, remaining: int) -> int:
    """clock_nanosleep(2). An absolute time on a clock that is set meanwhile is looked at again."""
    which = s32(clock)
    if which in _COARSE or which in (CLOCK_MONOTONIC_RAW, CLOCK_THREAD_CPUTIME_ID):
        raise SysError(EOPNOTSUPP)
    now = read_clock(k, t, which)
    when = read_timespec(t, request)
    if which < 0 or which == CLOCK_PROCESS_CPUTIME_ID:
        return _sleep_on_cpu(k, t, which, when if flags & TIMER_ABSTIME else now + when)
    if not flags & TIMER_ABSTIME:
        return _sleep_until(k, t, k.clock.now_ns() + when)
    t.restart.pop("until", None)
    return _sleep_until(k, t, k.clock.now_ns() + when - now)


def _sleep_on_cpu(k: "Kernel", t: Task, clock: int, deadline: int) -> int:
    """Sleep until a process has used that much processor time."""
    counted = cpu_clock(k, t, clock)
    if counted is None or counted.task is t:
        raise SysError(EINVAL)
    deadline = t.restart.setdefault("until", deadline)
    if counted.now_ns() >= deadline:
        return 0
    CpuTimer(t, counted).arm(deadline)
    raise Block()


def _remaining(k: "Kernel", t: Task, address: int) -> None:
    """A handler interrupts a relative sleep: say how much of it was left. Raises SysError(EFAULT)."""
    left = max(0, t.restart.get("until", 0) - k.clock.now_ns())
    if address:
        uaccess.write(t.mm, address, structs.pack_timespec(left))


def _nanosleep_interrupted(k: "Kernel", t: Task, request: int, remaining: int) -> None:
    _remaining(k, t, remaining)


def _clock_nanosleep_interrupted(k: "Kernel", t: Task, clock: int, flags: int, request: int, remaining: int) -> None:
    if not flags & TIMER_ABSTIME and s32(clock) >= 0 and s32(clock) != CLOCK_PROCESS_CPUTIME_ID:
        _remaining(k, t, remaining)


INTERRUPTED[SYS_nanosleep] = _nanosleep_interrupted
INTERRUPTED[SYS_clock_nanosleep] = _clock_nanosleep_interrupted
