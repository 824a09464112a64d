"""System V semaphores: semget(2), semop(2), semctl(2)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.ipc.sem import MAX_SEMAPHORES, Operation, SemaphoreSet, Wish
from mini_kernel.ipc.table import READ, WRITE
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.poll import read_timespec
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import E2BIG, EAGAIN, EFBIG, EINVAL, EPERM, ERANGE
from mini_kernel.uapi.ipc import (
    GETALL,
    GETNCNT,
    GETPID,
    GETVAL,
    GETZCNT,
    IPC_INFO,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SEM_INFO,
    SEM_STAT,
    SEM_STAT_ANY,
    SEMAEM,
    SEMID_DS_SIZE,
    SEMOPM,
    SEMUSZ,
    SEMVMX,
    SETALL,
    SETVAL,
    pack_seminfo,
    unpack_semid_ds,
)
from mini_kernel.uapi.numbers import SYS_semctl, SYS_semget, SYS_semop, SYS_semtimedop
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_SEMBUF: Final = struct.Struct("<Hhh")
_OF_ONE: Final = (GETVAL, GETPID, GETNCNT, GETZCNT)


@syscall(SYS_semget)
def sys_semget(k: "Kernel", t: Task, key: int, count: int, flags: int) -> int:
    """semget(2)."""
    key, count, flags = u32(key), s32(count), u32(flags)
    if count < 0:
        raise SysError(EINVAL)
    found = k.sems.named(key, flags)
    if found is None:
        return k.sems.create(key, count, flags, t.fs).id
    if count > len(found.values):
        raise SysError(EINVAL)
    found.require(flags, t.fs)
    return found.id


# -- operations -----------------------------------------------------------------------------------------


@syscall(SYS_semtimedop)
def sys_semtimedop(k: "Kernel", t: Task, ident: int, operations: int, count: int, timeout: int) -> int:
    """semtimedop(2): all operations or none. Whoever makes a waiting call possible carries it out."""
    answer: int | None = t.restart.get("answer")
    if answer is not None:
        if answer:
            raise SysError(answer)
        return 0
    wanted = _read(t, operations, count)
    timeout_ns = read_timespec(t, timeout)
    found = _checked(k, t, s32(ident), wanted)
    blocking = found.attempt(wanted, t.tgid)
    if blocking is None:
        found.otime = k.sems.now()
        if any(operation.change for operation in wanted):
            found.grant(k.sems.now())
        return 0
    deadline = None
    if timeout_ns is not None:
        deadline = t.restart.setdefault("deadline", k.clock.now_ns() + timeout_ns)
        if k.clock.now_ns() >= deadline:
            raise SysError(EAGAIN)
    t.restart["wish"] = Wish(wanted, blocking)
    raise Block(found.queue, deadline_ns=deadline)


def _read(t: Task, address: int, count: int) -> tuple[Operation, ...]:
    """An array of struct sembuf. Raises SysError: EINVAL, E2BIG, EFAULT."""
    count = u32(count)
    if not count:
        raise SysError(EINVAL)
    if count > SEMOPM:
        raise SysError(E2BIG)
    data = uaccess.read(t.mm, address, count * _SEMBUF.size)
    return tuple(Operation(*fields) for fields in _SEMBUF.iter_unpack(data))


def _checked(k: "Kernel", t: Task, ident: int, wanted: tuple[Operation, ...]) -> SemaphoreSet:
    """The set, if the caller may do that to it. Raises SysError: EINVAL, EIDRM, EFBIG, EACCES."""
    found = k.sems.find(ident)
    if max(operation.number for operation in wanted) >= len(found.values):
        raise SysError(EFBIG)
    found.require(WRITE if any(operation.change for operation in wanted) else READ, t.fs)
    return found


@syscall(SYS_semop)
def sys_semop(k: "Kernel", t: Task, ident: int, operations: int, count: int) -> int:
    """semop(2)."""
    return sys_semtimedop(k, t, ident, operations, count, 0)


# -- control --------------------------------------------------------------------------------------------


@syscall(SYS_semctl)
def sys_semctl(k: "Kernel", t: Task, ident: int, number: int, command: int, argument: int) -> int:
    """semctl(2)."""
    ident, number, command = s32(ident), s32(number), s32(command)
    if ident < 0:
        raise SysError(EINVAL)
    if command in (IPC_INFO, SEM_INFO):
        whole = command == SEM_INFO
        usz, aem = (len(k.sems.objects), k.sems.used) if whole else (SEMUSZ, SEMAEM)
        uaccess.write(t.mm, argument, pack_seminfo(MAX_SEMAPHORES, usz, aem))
        return k.sems.highest()
    if command in (IPC_STAT, SEM_STAT, SEM_STAT_ANY):
        return _stat(k, t, ident, command, argument)
    if command in (IPC_SET, IPC_RMID):
        return _change(k, t, ident, command, argument)
    if command in (*_OF_ONE, GETALL):
        return _get(k, t, ident, number, command, argument)
    if command in (SETVAL, SETALL):
        return _set(k, t, ident, number, command, argument)
    raise SysError(EINVAL)


def _stat(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """IPC_STAT by id, SEM_STAT and SEM_STAT_ANY by index, which return the id."""
    found = k.sems.find(ident) if command == IPC_STAT else k.sems.at_index(ident)
    if command != SEM_STAT_ANY:
        found.require(READ, t.fs)
    uaccess.write(t.mm, buffer, found.pack())
    return 0 if command == IPC_STAT else found.id


def _change(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """IPC_SET and IPC_RMID, for the owner."""
    data = uaccess.read(t.mm, buffer, SEMID_DS_SIZE) if command == IPC_SET else b""
    found = k.sems.find(ident)
    if not found.is_owner(t.fs):
        raise SysError(EPERM)
    if command == IPC_RMID:
        k.sems.remove(found)
    else:
        perm = unpack_semid_ds(data)[0]
        k.sems.update(found, perm.uid, perm.gid, perm.mode)
    return 0


def _get(k: "Kernel", t: Task, ident: int, number: int, command: int, buffer: int) -> int:
    found = k.sems.find(ident)
    found.require(READ, t.fs)
    if command == GETALL:
        uaccess.write(t.mm, buffer, b"".join(value.to_bytes(2, "little") for value in found.values))
        return 0
    if not 0 <= number < len(found.values):
        raise SysError(EINVAL)
    if command == GETVAL:
        return found.values[number]
    if command == GETPID:
        return found.pids[number]
    return found.waiting(number, command == GETZCNT)


def _set(k: "Kernel", t: Task, ident: int, number: int, command: int, argument: int) -> int:
    found = k.sems.find(ident)
    if command == SETALL:
        found.require(WRITE, t.fs)
        data = uaccess.read(t.mm, argument, 2 * len(found.values))
        values = {i: value for i, (value,) in enumerate(struct.iter_unpack("<H", data))}
    else:
        if not 0 <= number < len(found.values):
            raise SysError(EINVAL)
        found.require(WRITE, t.fs)
        values = {number: s32(argument)}
    if not all(0 <= value <= SEMVMX for value in values.values()):
        raise SysError(ERANGE)
    k.sems.set_values(found, values)
    return 0
