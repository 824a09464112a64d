"""futex(2), its successors futex_wait, futex_wake, futex_requeue and futex_waitv, and the robust lists."""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel import futex
from mini_kernel.errors import SysError
from mini_kernel.futex import Key, key_of
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EAGAIN, EINVAL, ENOSYS, ESRCH, ETIMEDOUT
from mini_kernel.uapi.futex import (
    FUTEX_32,
    FUTEX_BITSET_MATCH_ANY,
    FUTEX_CLOCK_REALTIME,
    FUTEX_CMP_REQUEUE,
    FUTEX_LOCK_PI,
    FUTEX_LOCK_PI2,
    FUTEX_OP_ADD,
    FUTEX_OP_ANDN,
    FUTEX_OP_CMP_EQ,
    FUTEX_OP_CMP_GE,
    FUTEX_OP_CMP_GT,
    FUTEX_OP_CMP_LE,
    FUTEX_OP_CMP_LT,
    FUTEX_OP_CMP_NE,
    FUTEX_OP_OPARG_SHIFT,
    FUTEX_OP_OR,
    FUTEX_OP_SET,
    FUTEX_OP_XOR,
    FUTEX_PRIVATE_FLAG,
    FUTEX_REQUEUE,
    FUTEX_TRYLOCK_PI,
    FUTEX_UNLOCK_PI,
    FUTEX_WAIT,
    FUTEX_WAIT_BITSET,
    FUTEX_WAITV_MAX,
    FUTEX_WAKE,
    FUTEX_WAKE_BITSET,
    FUTEX_WAKE_OP,
)
from mini_kernel.uapi.numbers import (
    SYS_futex,
    SYS_futex_requeue,
    SYS_futex_wait,
    SYS_futex_waitv,
    SYS_futex_wake,
    SYS_get_robust_list,
    SYS_set_robust_list,
)
from mini_kernel.uapi.time import CLOCK_MONOTONIC, CLOCK_REALTIME
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_WAITV: Final = struct.Struct("<QQII")  # val, uaddr, flags, reserved
_HEAD_SIZE: Final = 24  # struct robust_list_head
#: Commands whose deadline may be a CLOCK_REALTIME one if the flag says so.
_TAKES_REALTIME: Final = (FUTEX_WAIT_BITSET, FUTEX_LOCK_PI2)


class Word(NamedTuple):
    """A word that a call waits on."""

    address: int
    expected: int
    private: bool


# -- waiting -----------------------------------------------------------------------------------------


def _deadline(k: "Kernel", t: Task, timeout: int, relative: bool, realtime: bool) -> int | None:
    """When the wait ends, read once and kept while the call waits."""
    if "until" not in t.restart:
        until: int | None = None
        if timeout:
            seconds, nanoseconds = struct.unpack("<qq", uaccess.read(t.mm, timeout, 16))
            if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
                raise SysError(EINVAL)
            until = seconds * 1_000_000_000 + nanoseconds
            if relative:
                until += k.clock.now_ns()
            elif realtime:
                until += k.clock.now_ns() - k.clock.real_ns()
        t.restart["until"] = until
    return t.restart["until"]


def _wait(k: "Kernel", t: Task, words: list[Word], deadline: int | None, mask: int) -> int:
    """Wait until one of the words is woken; its index. Raises SysError EAGAIN, ETIMEDOUT, EFAULT, EINVAL."""
    woken = t.restart.get("woken")
    if woken is not None:
        return woken
    if deadline is not None and "futex" in t.restart and k.clock.now_ns() >= deadline:
        raise SysError(ETIMEDOUT)
    keys = [key_of(t.mm, word.address, word.private) for word in words]
    if any(uaccess.read_u32(t.mm, word.address) != word.expected for word in words):
        raise SysError(EAGAIN)
    if deadline is not None and k.clock.now_ns() >= deadline:
        raise SysError(ETIMEDOUT)
    t.restart["futex"] = keys
    t.restart["mask"] = mask
    raise Block(*map(k.futexes.queue, dict.fromkeys(keys)), deadline_ns=deadline)


# -- futex(2) ----------------------------------------------------------------------------------------


@syscall(SYS_futex)
def sys_futex(k: "Kernel", t: Task, address: int, op: int, value: int, timeout: int, address2: int, value3: int) -> int:
    """futex(2). Without the requeueing to locks of priority inheritance, which no C library uses any more: ENOSYS."""
    op = u32(op)
    command = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
    private, realtime = bool(op & FUTEX_PRIVATE_FLAG), bool(op & FUTEX_CLOCK_REALTIME)
    if realtime and command not in _TAKES_REALTIME:
        raise SysError(ENOSYS)
    if command in (FUTEX_WAIT, FUTEX_WAIT_BITSET):
        mask = u32(value3) if command == FUTEX_WAIT_BITSET else FUTEX_BITSET_MATCH_ANY
        until = _deadline(k, t, timeout, command == FUTEX_WAIT, realtime)
        if not mask:
            raise SysError(EINVAL)
        return _wait(k, t, [Word(address, u32(value), private)], until, mask)
    if command in (FUTEX_WAKE, FUTEX_WAKE_BITSET):
        mask = u32(value3) if command == FUTEX_WAKE_BITSET else FUTEX_BITSET_MATCH_ANY
        if not mask:
            raise SysError(EINVAL)
        return k.futexes.wake(key_of(t.mm, address, private), s32(value), mask)
    if command in (FUTEX_REQUEUE, FUTEX_CMP_REQUEUE):
        expected = u32(value3) if command == FUTEX_CMP_REQUEUE else None
        keys = key_of(t.mm, address, private), key_of(t.mm, address2, private)
        return _requeue(k, t, address, keys, s32(value), s32(timeout), expected)
    if command == FUTEX_WAKE_OP:
        keys = key_of(t.mm, address, private), key_of(t.mm, address2, private)
        return _wake_op(k, t, keys, address2, (s32(value), s32(timeout)), u32(value3))
    return _locking(k, t, command, address, private, timeout, realtime)


def _requeue(
    k: "Kernel", t: Task, address: int, keys: tuple[Key, Key], wake: int, move: int, expected: int | None
) -> int:
    if wake < 0 or move < 0:
        raise SysError(EINVAL)
    if expected is not None and uaccess.read_u32(t.mm, address) != expected:
        raise SysError(EAGAIN)
    return k.futexes.requeue(*keys, wake, move)


def _wake_op(k: "Kernel", t: Task, keys: tuple[Key, Key], address2: int, counts: tuple[int, int], encoded: int) -> int:
    """Change the second word, wake waiters of the first, and of the second if its old value passes a test."""
    operation, comparison = encoded >> 28 & 7, encoded >> 24 & 15
    operand, bound = _s12(encoded >> 12), _s12(encoded)
    if encoded >> 28 & FUTEX_OP_OPARG_SHIFT:
        operand = 1 << (operand & 31)
    if operation > FUTEX_OP_XOR:
        raise SysError(ENOSYS)
    uaccess.translate(t.mm, address2, True, 0)
    old = uaccess.read_u32(t.mm, address2)
    uaccess.write_u32(t.mm, address2, _changed(operation, old, operand))
    if comparison > FUTEX_OP_CMP_GE:
        raise SysError(ENOSYS)  # only now, as in Linux
    woken = k.futexes.wake(keys[0], counts[0])
    if _passes(comparison, s32(old), bound):
        woken += k.futexes.wake(keys[1], counts[1])
    return woken


def _s12(value: int) -> int:
    """Twelve bits as a signed number."""
    return (value & 0xFFF ^ 0x800) - 0x800


def _changed(operation: int, old: int, operand: int) -> int:
    return {
        FUTEX_OP_SET: operand,
        FUTEX_OP_ADD: old + operand,
        FUTEX_OP_OR: old | operand,
        FUTEX_OP_ANDN: old & ~operand,
        FUTEX_OP_XOR: old ^ operand,
    }[operation] & 0xFFFF_FFFF


def _passes(comparison: int, old: int, bound: int) -> bool:
    return {
        FUTEX_OP_CMP_EQ: old == bound,
        FUTEX_OP_CMP_NE: old != bound,
        FUTEX_OP_CMP_LT: old < bound,
        FUTEX_OP_CMP_LE: old <= bound,
        FUTEX_OP_CMP_GT: old > bound,
        FUTEX_OP_CMP_GE: old >= bound,
    }[comparison]


def _locking(k: "Kernel", t: Task, command: int, address: int, private: bool, timeout: int, realtime: bool) -> int:
    """The commands of locks with an owner. Waiting for one is not ended by a handler (Linux -ERESTARTNOINTR)."""
    if command == FUTEX_UNLOCK_PI:
        futex.unlock(k, t, address, key_of(t.mm, address, private))
        return 0
    if command not in (FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI):
        raise SysError(ENOSYS)
    if "woken" in t.restart:
        return 0  # it was handed over
    trying = command == FUTEX_TRYLOCK_PI
    until = None if trying else _deadline(k, t, timeout, False, realtime or command == FUTEX_LOCK_PI)
    if until is not None and "futex" in t.restart and k.clock.now_ns() >= until:
        raise SysError(ETIMEDOUT)
    key = key_of(t.mm, address, private)
    queue = futex.lock(k, t, address, key, trying)
    if queue is None:
        return 0
    if trying:
        raise SysError(EAGAIN)
    if until is not None and k.clock.now_ns() >= until:
        raise SysError(ETIMEDOUT)
    t.restart |= {"futex": [key], "lock": address, "again": True}
    raise Block(queue, deadline_ns=until)


# -- the calls of futex2 -----------------------------------------------------------------------------


def _private(flags: int) -> bool:
    """What the flags of the newer calls say. Only 32-bit words exist. Raises SysError(EINVAL)."""
    if flags & ~(3 | FUTEX_PRIVATE_FLAG) or flags & 3 != FUTEX_32:
        raise SysError(EINVAL)
    return bool(flags & FUTEX_PRIVATE_FLAG)


def _until(k: "Kernel", t: Task, timeout: int, clock: int) -> int | None:
    if timeout and s32(clock) not in (CLOCK_MONOTONIC, CLOCK_REALTIME):
        raise SysError(EINVAL)
    return _deadline(k, t, timeout, False, s32(clock) == CLOCK_REALTIME)


def _as_word(value: int) -> int:
    """A value or mask that must fit into 32 bits. Raises SysError(EINVAL)."""
    if value >> 32:
        raise SysError(EINVAL)
    return value


@syscall(SYS_futex_wait)
def sys_futex_wait(
    k: "Kernel", t: Task, address: int, value: int, mask: int, flags: int, timeout: int, clock: int
) -> int:
    """futex_wait(2)."""
    private = _private(u32(flags))
    if not _as_word(mask):
        raise SysError(EINVAL)
    return _wait(k, t, [Word(address, _as_word(value), private)], _until(k, t, timeout, clock), mask)


@syscall(SYS_futex_wake)
def sys_futex_wake(k: "Kernel", t: Task, address: int, mask: int, count: int, flags: int) -> int:
    """futex_wake(2)."""
    private = _private(u32(flags))
    if not _as_word(mask):
        raise SysError(EINVAL)
    key = key_of(t.mm, address, private)
    return k.futexes.wake(key, s32(count), mask) if s32(count) else 0


def _read_waitv(t: Task, address: int, count: int) -> list[Word]:
    words: list[Word] = []
    for value, place, flags, reserved in _WAITV.iter_unpack(uaccess.read(t.mm, address, count * _WAITV.size)):
        if reserved:
            raise SysError(EINVAL)
        words.append(Word(place, _as_word(value), _private(flags)))
    return words


@syscall(SYS_futex_waitv)
def sys_futex_waitv(k: "Kernel", t: Task, waiters: int, count: int, flags: int, timeout: int, clock: int) -> int:
    """futex_waitv(2): wait on up to 128 words at once; the index of one that was woken."""
    if u32(flags) or not 0 < u32(count) <= FUTEX_WAITV_MAX or not waiters:
        raise SysError(EINVAL)
    until = _until(k, t, timeout, clock)
    return _wait(k, t, _read_waitv(t, waiters, u32(count)), until, FUTEX_BITSET_MATCH_ANY)


@syscall(SYS_futex_requeue)
def sys_futex_requeue(k: "Kernel", t: Task, waiters: int, flags: int, wake: int, move: int) -> int:
    """futex_requeue(2)."""
    if u32(flags) or not waiters:
        raise SysError(EINVAL)
    source, target = _read_waitv(t, waiters, 2)
    keys = key_of(t.mm, source.address, source.private), key_of(t.mm, target.address, target.private)
    return _requeue(k, t, source.address, keys, s32(wake), s32(move), source.expected)


# -- robust lists ------------------------------------------------------------------------------------


@syscall(SYS_set_robust_list)
def sys_set_robust_list(k: "Kernel", t: Task, head: int, size: int) -> int:
    """set_robust_list(2)."""
    if size != _HEAD_SIZE:
        raise SysError(EINVAL)
    t.robust_list = head
    return 0


@syscall(SYS_get_robust_list)
def sys_get_robust_list(k: "Kernel", t: Task, pid: int, head: int, size: int) -> int:
    """get_robust_list(2)."""
    task = k.tasks.get(s32(pid)) if s32(pid) else t
    if task is None:
        raise SysError(ESRCH)
    uaccess.write_u64(t.mm, size, _HEAD_SIZE)
    uaccess.write_u64(t.mm, head, task.robust_list)
    return 0
