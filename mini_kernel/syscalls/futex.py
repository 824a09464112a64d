"""futex(2): waiting on a word of memory (WAIT, WAKE and their bitset forms)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EAGAIN, EINVAL, ENOSYS, ETIMEDOUT
from mini_kernel.uapi.futex import (
    FUTEX_CLOCK_REALTIME,
    FUTEX_PRIVATE_FLAG,
    FUTEX_WAIT,
    FUTEX_WAIT_BITSET,
    FUTEX_WAKE,
    FUTEX_WAKE_BITSET,
)
from mini_kernel.uapi.numbers import SYS_futex
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ALL: Final = 0xFFFF_FFFF


@syscall(SYS_futex)
def sys_futex(k: "Kernel", t: Task, address: int, op: int, value: int, timeout: int, address2: int, value3: int) -> int:
    """futex(2)."""
    command = u32(op) & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
    if address & 3:
        raise SysError(EINVAL)
    if command in (FUTEX_WAKE, FUTEX_WAKE_BITSET):
        mask = u32(value3) if command == FUTEX_WAKE_BITSET else _ALL
        if not mask:
            raise SysError(EINVAL)
        return wake(k, t.mm, address, u32(value), mask)
    if command not in (FUTEX_WAIT, FUTEX_WAIT_BITSET):
        raise SysError(ENOSYS)
    return _wait(k, t, address, u32(value), _deadline(k, t, command, op, timeout), u32(value3) or _ALL)


def _deadline(k: "Kernel", t: Task, command: int, op: int, timeout: int) -> int | None:
    """FUTEX_WAIT takes a duration, FUTEX_WAIT_BITSET a point in time; kept while the call waits."""
    if "until" not in t.restart:
        until: int | None = None
        if timeout:
            seconds, nanoseconds = struct.unpack("<qq", uaccess.read(t.mm, timeout, 16))
            if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
                raise SysError(EINVAL)
            until = seconds * 1_000_000_000 + nanoseconds
            if command == FUTEX_WAIT:
                until += k.clock.now_ns()
            elif op & FUTEX_CLOCK_REALTIME:
                until += k.clock.now_ns() - k.clock.real_ns()
        t.restart["until"] = until
    return t.restart["until"]


def _wait(k: "Kernel", t: Task, address: int, expected: int, deadline: int | None, mask: int) -> int:
    if t.restart.get("woken"):
        return 0
    if "key" not in t.restart and uaccess.read_u32(t.mm, address) != expected:
        raise SysError(EAGAIN)
    if deadline is not None and k.clock.now_ns() >= deadline:
        _leave(k, t)
        raise SysError(ETIMEDOUT)
    key = t.restart.setdefault("key", _key(t.mm, address))
    waiters = k.futexes.setdefault(key, [])
    if all(w is not t for w, _mask in waiters):
        waiters.append((t, mask))
    raise Block(WaitQueue(), deadline_ns=deadline)


def _leave(k: "Kernel", t: Task) -> None:
    """Take a waiter off its futex."""
    key = t.restart.get("key")
    if key in k.futexes:
        k.futexes[key] = [entry for entry in k.futexes[key] if entry[0] is not t]
        if not k.futexes[key]:
            del k.futexes[key]


def _key(mm: Mm, address: int) -> int:
    """What two processes that share the word agree on: its physical address (Linux get_futex_key)."""
    return uaccess.translate(mm, address, True)


def wake(k: "Kernel", mm: Mm, address: int, count: int, mask: int = _ALL) -> int:
    """Wake up to `count` waiters on a word, first come first served; the number woken."""
    key = _key(mm, address)
    woken = 0
    for task, wanted in list(k.futexes.get(key, ())):
        if woken >= count:
            break
        if not task.alive or "key" not in task.restart:
            _drop(k, key, task)
        elif wanted & mask:
            _drop(k, key, task)
            task.restart["woken"] = True
            task.wake()
            woken += 1
    return woken


def _drop(k: "Kernel", key: int, task: Task) -> None:
    k.futexes[key] = [entry for entry in k.futexes[key] if entry[0] is not task]
    if not k.futexes[key]:
        del k.futexes[key]
