"""Waiting for files: poll(2) and select(2). The deadline of a call that waits is kept in `t.restart["deadline"]`."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import INTERRUPTED, s32, syscall, u32
from mini_kernel.uapi.errno import EBADF, EINVAL
from mini_kernel.uapi.numbers import SYS_poll, SYS_ppoll, SYS_pselect6, SYS_select
from mini_kernel.uapi.poll import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from mini_kernel.uapi.signal import SIGKILL, SIGSTOP
from mini_kernel.uapi.structs import NSEC_PER_SEC, pack_timespec, pack_timeval, unpack_timespec, unpack_timeval
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_POLLFD: Final = struct.Struct("<ihh")
_UNBLOCKABLE: Final = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1)
#: What makes a descriptor readable, writable, exceptional for select(2) (Linux POLLIN_SET and so on).
_SETS: Final = (
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    POLLPRI,
)


# -- timeouts and masks ---------------------------------------------------------------------------------


def deadline_of(k: "Kernel", t: "Task", timeout_ns: int | None) -> int | None:
    """When the wait ends: fixed when the call is first made, kept while it is issued again."""
    if timeout_ns is None:
        return None
    return t.restart.setdefault("deadline", k.clock.now_ns() + timeout_ns)


def _time(seconds: int, fraction: int, scale: int) -> int:
    """Nanoseconds of a timespec (scale 1) or timeval (scale 1000). Raises SysError(EINVAL)."""
    if seconds < 0 or not 0 <= fraction * scale < NSEC_PER_SEC:
        raise SysError(EINVAL)
    return seconds * NSEC_PER_SEC + fraction * scale


def read_timespec(t: "Task", address: int) -> int | None:
    """A timespec in nanoseconds, None for a null pointer. Raises SysError EINVAL, EFAULT."""
    return _time(*unpack_timespec(uaccess.read(t.mm, address, 16)), 1) if address else None


def _read_timeval(t: "Task", address: int) -> int | None:
    return _time(*unpack_timeval(uaccess.read(t.mm, address, 16)), 1000) if address else None


def enter_mask(t: "Task", address: int, size: int) -> None:
    """Wait with another signal mask; it comes back with the result, or with the handler that interrupts."""
    if not address:
        return
    if size != 8:
        raise SysError(EINVAL)
    mask = uaccess.read_u64(t.mm, address) & ~_UNBLOCKABLE
    if t.saved_mask is None:
        t.saved_mask = t.blocked
        t.blocked = mask


def leave_mask(t: "Task") -> None:
    if t.saved_mask is not None:
        t.blocked, t.saved_mask = t.saved_mask, None


def wait(k: "Kernel", queues: list[WaitQueue], deadline: int | None) -> None:
    """Raises Block unless the deadline has come."""
    if deadline is None or k.clock.now_ns() < deadline:
        raise Block(*dict.fromkeys(queues), deadline_ns=deadline)


def _wait(k: "Kernel", t: "Task", queues: list[WaitQueue], deadline: int | None) -> None:
    """`wait` of poll(2) and select(2): a signal that is due interrupts even the call that would not wait."""
    wait(k, queues, None if t.deliverable() else deadline)


# -- poll -----------------------------------------------------------------------------------------------


def _poll(k: "Kernel", t: "Task", fds: int, count: int, timeout_ns: int | None) -> int:
    count = u32(count)
    if count > t.files.limit:
        raise SysError(EINVAL)
    entries = list(_POLLFD.iter_unpack(uaccess.read(t.mm, fds, count * _POLLFD.size))) if count else []
    deadline = deadline_of(k, t, timeout_ns)
    queues: list[WaitQueue] = []
    results: list[int] = []
    for fd, events, _revents in entries:
        file = t.files.fds.get(fd)
        if file is None:
            results.append(POLLNVAL if fd >= 0 else 0)
            continue
        results.append(file.poll() & (events | POLLERR | POLLHUP))
        queues += file.queues()
    ready = sum(map(bool, results))
    if not ready:
        _wait(k, t, queues, deadline)
    packed = b"".join(_POLLFD.pack(fd, events, bits) for (fd, events, _), bits in zip(entries, results, strict=True))
    uaccess.write(t.mm, fds, packed)
    return ready


@syscall(SYS_poll)
def sys_poll(k: "Kernel", t: "Task", fds: int, count: int, timeout: int) -> int:
    """poll(2); the timeout is in milliseconds, below 0 for ever."""
    milliseconds = s32(timeout)
    return _poll(k, t, fds, count, milliseconds * 1_000_000 if milliseconds >= 0 else None)


@syscall(SYS_ppoll)
def sys_ppoll(k: "Kernel", t: "Task", fds: int, count: int, timeout: int, mask: int, size: int) -> int:
    """ppoll(2); writes back the time that is left, as Linux does."""
    timeout_ns = read_timespec(t, timeout)
    enter_mask(t, mask, size)
    try:
        ready = _poll(k, t, fds, count, timeout_ns)
    except SysError:
        leave_mask(t)
        raise
    leave_mask(t)
    _show_left(k, t, timeout, pack_timespec)
    return ready


def _show_left(k: "Kernel", t: "Task", address: int, pack: Callable[[int], bytes]) -> None:
    """Write back what is left of the timeout, if the memory can be written: it may well be a constant."""
    if address:
        with suppress(SysError):
            uaccess.write(t.mm, address, pack(max(0, t.restart["deadline"] - k.clock.now_ns())))


# -- select ---------------------------------------------------------------------------------------------


def _read_sets(t: "Task", n: int, addresses: tuple[int, int, int]) -> tuple[int, int, int]:
    """The three sets as bit masks; 0 for NULL."""
    size, mask = (n + 63) // 64 * 8, (1 << n) - 1
    one, two, three = (
        int.from_bytes(uaccess.read(t.mm, address, size), "little") & mask if address and size else 0
        for address in addresses
    )
    return one, two, three


def _files_of(t: "Task", bits: int) -> list[tuple[int, File]]:
    """(fd, file) for each bit. Raises SysError(EBADF)."""
    found: list[tuple[int, File]] = []
    while bits:
        fd = (bits & -bits).bit_length() - 1
        bits &= bits - 1
        file = t.files.fds.get(fd)
        if file is None:
            raise SysError(EBADF)
        found.append((fd, file))
    return found


def _select(k: "Kernel", t: "Task", n: int, addresses: tuple[int, int, int], timeout_ns: int | None) -> int:
    n = s32(n)
    if n < 0:
        raise SysError(EINVAL)
    n = min(n, t.files.limit)
    wanted = _read_sets(t, n, addresses)
    deadline = deadline_of(k, t, timeout_ns)
    ready, queues = [0, 0, 0], list[WaitQueue]()
    for fd, file in _files_of(t, wanted[0] | wanted[1] | wanted[2]):
        bits = file.poll()
        for which in range(3):
            if wanted[which] >> fd & 1 and bits & _SETS[which]:
                ready[which] |= 1 << fd
        queues += file.queues()
    count = sum(bits.bit_count() for bits in ready)
    if not count:
        _wait(k, t, queues, deadline)
    for address, bits in zip(addresses, ready, strict=True):
        if address:
            uaccess.write(t.mm, address, bits.to_bytes((n + 63) // 64 * 8, "little"))
    return count


@syscall(SYS_select)
def sys_select(k: "Kernel", t: "Task", n: int, read: int, write: int, other: int, timeout: int) -> int:
    """select(2); writes back the time that is left, as Linux does."""
    timeout_ns = _read_timeval(t, timeout)
    count = _select(k, t, n, (read, write, other), timeout_ns)
    _show_left(k, t, timeout, pack_timeval)
    return count


@syscall(SYS_pselect6)
def sys_pselect6(k: "Kernel", t: "Task", n: int, read: int, write: int, other: int, timeout: int, mask: int) -> int:
    """pselect(2); `mask` points to the address and the size of a signal mask."""
    timeout_ns = read_timespec(t, timeout)
    if mask:
        enter_mask(t, uaccess.read_u64(t.mm, mask), uaccess.read_u64(t.mm, mask + 8))
    try:
        count = _select(k, t, n, (read, write, other), timeout_ns)
    except SysError:
        leave_mask(t)
        raise
    leave_mask(t)
    _show_left(k, t, timeout, pack_timespec)
    return count


# -- cut short ------------------------------------------------------------------------------------------


def _ppoll_interrupted(k: "Kernel", t: "Task", fds: int, count: int, timeout: int, mask: int, size: int) -> None:
    _show_left(k, t, timeout, pack_timespec)


def _select_interrupted(k: "Kernel", t: "Task", n: int, read: int, write: int, other: int, timeout: int) -> None:
    _show_left(k, t, timeout, pack_timeval)


def _pselect_interrupted(
    k: "Kernel", t: "Task", n: int, read: int, write: int, other: int, timeout: int, mask: int
) -> None:
    _show_left(k, t, timeout, pack_timespec)


INTERRUPTED[SYS_ppoll] = _ppoll_interrupted
INTERRUPTED[SYS_select] = _select_interrupted
INTERRUPTED[SYS_pselect6] = _pselect_interrupted
