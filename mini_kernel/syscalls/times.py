"""Clocks and sleeping, on virtual time."""

from typing import TYPE_CHECKING, Final

from mini_kernel.clock import NS_PER_BLOCK
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.procs import pack_usage
from mini_kernel.syscalls.table import INTERRUPTED, s32, syscall
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import EFAULT, EINVAL, EOPNOTSUPP
from mini_kernel.uapi.numbers import (
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_getrusage,
    SYS_gettimeofday,
    SYS_nanosleep,
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
_CPU: Final = frozenset((CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID))
_TICKS: Final = 100  # per second, for times(2)


def _clock(k: "Kernel", t: Task, clock: int) -> int:
    """The time on a clock, ns. Raises SysError(EINVAL)."""
    if clock in _REAL:
        return k.clock.real_ns()
    if clock in _MONOTONIC:
        return k.clock.now_ns()
    if clock in _CPU:
        return _cpu_ns(k, t)
    raise SysError(EINVAL)


def _cpu_ns(k: "Kernel", t: Task) -> int:
    k.sched.credit()
    return t.ledger.blocks * NS_PER_BLOCK


@syscall(SYS_clock_gettime)
def sys_clock_gettime(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_gettime(2)."""
    uaccess.write(t.mm, address, structs.pack_timespec(_clock(k, t, s32(clock))))
    return 0


@syscall(SYS_clock_getres)
def sys_clock_getres(k: "Kernel", t: Task, clock: int, address: int) -> int:
    """clock_getres(2): one nanosecond."""
    _clock(k, t, s32(clock))
    if address:
        uaccess.write(t.mm, address, structs.pack_timespec(1))
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


@syscall(SYS_times)
def sys_times(k: "Kernel", t: Task, address: int) -> int:
    """times(2)."""
    mine = _cpu_ns(k, t) * _TICKS // _SECOND
    children = t.process.children_ledger.blocks * NS_PER_BLOCK * _TICKS // _SECOND
    if address:
        for i, value in enumerate((mine, 0, children, 0)):
            uaccess.write_u64(t.mm, address + 8 * i, value)
    return k.clock.now_ns() * _TICKS // _SECOND


@syscall(SYS_getrusage)
def sys_getrusage(k: "Kernel", t: Task, who: int, address: int) -> int:
    """getrusage(2)."""
    k.sched.credit()
    kind = s32(who)
    if kind not in (RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD):
        raise SysError(EINVAL)
    ledger = t.process.children_ledger if kind == RUSAGE_CHILDREN else t.ledger
    uaccess.write(t.mm, address, pack_usage(ledger))
    return 0


# -- sleeping ----------------------------------------------------------------------------------------


def _sleep_until(k: "Kernel", t: Task, deadline: int) -> int:
    """Sleep until virtual time `deadline`, which is kept for when the call is issued again."""
    deadline = t.restart.setdefault("until", deadline)
    if k.clock.now_ns() >= deadline:
        return 0
    raise Block(deadline_ns=deadline)


def _timespec(t: Task, address: int) -> int:
    seconds, nanoseconds = structs.unpack_timespec(uaccess.read(t.mm, address, 16))
    if seconds < 0 or not 0 <= nanoseconds < _SECOND:
        raise SysError(EINVAL)
    return seconds * _SECOND + nanoseconds


@syscall(SYS_nanosleep)
def sys_nanosleep(k: "Kernel", t: Task, request: int, remaining: int) -> int:
    """nanosleep(2)."""
    return _sleep_until(k, t, k.clock.now_ns() + _timespec(t, request))


@syscall(SYS_clock_nanosleep)
def sys_clock_nanosleep(k: "Kernel", t: Task, clock: int, flags: int, request: int, remaining: int) -> int:
    """clock_nanosleep(2)."""
    which = s32(clock)
    if which in _CPU:
        raise SysError(EOPNOTSUPP)
    now = _clock(k, t, which)
    when = _timespec(t, request)
    wait = when - now if flags & TIMER_ABSTIME else when
    return _sleep_until(k, t, k.clock.now_ns() + wait)


def _remaining(k: "Kernel", t: Task, address: int) -> None:
    """A handler interrupts a relative sleep: say how much of it was left."""
    left = max(0, t.restart.get("until", 0) - k.clock.now_ns())
    if address:
        try:
            uaccess.write(t.mm, address, structs.pack_timespec(left))
        except SysError as error:
            assert error.errno == EFAULT


def _nanosleep_interrupted(k: "Kernel", t: Task, request: int, remaining: int) -> None:
    _remaining(k, t, remaining)


def _clock_nanosleep_interrupted(k: "Kernel", t: Task, clock: int, flags: int, request: int, remaining: int) -> None:
    if not flags & TIMER_ABSTIME:
        _remaining(k, t, remaining)


INTERRUPTED[SYS_nanosleep] = _nanosleep_interrupted
INTERRUPTED[SYS_clock_nanosleep] = _clock_nanosleep_interrupted
