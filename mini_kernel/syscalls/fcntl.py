"""fcntl(2) and flock(2): what is asked of a descriptor or an open file, and locks."""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, PathFile
from mini_kernel.fs.inode import Inode, RegularFile
from mini_kernel.fs.locks import OFFSET_MAX, Locks, Range
from mini_kernel.fs.pipe import PipeFile
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import file_of
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import State
from mini_kernel.uapi.errno import EAGAIN, EBADF, EDEADLK, EINVAL, EOVERFLOW, EPERM, ESRCH
from mini_kernel.uapi.fcntl import (
    F_ADD_SEALS,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GET_RW_HINT,
    F_GET_SEALS,
    F_GETFD,
    F_GETFL,
    F_GETLEASE,
    F_GETLK,
    F_GETOWN,
    F_GETOWN_EX,
    F_GETPIPE_SZ,
    F_GETSIG,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_OWNER_PGRP,
    F_OWNER_PID,
    F_OWNER_TID,
    F_RDLCK,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    F_SET_RW_HINT,
    F_SETFD,
    F_SETFL,
    F_SETLEASE,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_SETOWN_EX,
    F_SETPIPE_SZ,
    F_SETSIG,
    F_UNLCK,
    F_WRLCK,
    FASYNC,
    FD_CLOEXEC,
    LOCK_EX,
    LOCK_MAND,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    O_APPEND,
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)
from mini_kernel.uapi.numbers import SYS_fcntl, SYS_flock
from mini_kernel.uapi.structs import FLOCK_SIZE, pack_flock, unpack_flock
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_SETTABLE: Final = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC
_ALL_SEALS: Final = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
_SIGNALS: Final = 64
_LAST_HINT: Final = 5  # RWH_WRITE_LIFE_EXTREME
_OWNER_EX = struct.Struct("<ii")
_FLOCK_KINDS: Final = {LOCK_SH: F_RDLCK, LOCK_EX: F_WRLCK, LOCK_UN: F_UNLCK}

Command = Callable[["Kernel", "Task", File, int, int], int]


@syscall(SYS_fcntl)
def sys_fcntl(k: "Kernel", t: "Task", fd: int, command: int, argument: int) -> int:
    """fcntl(2). Leases and directory notification are not there: EINVAL, as where a file system has none."""
    file, command = t.files.get(fd), s32(command)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        return t.files.dup(fd, command == F_DUPFD_CLOEXEC, s32(argument))
    if command == F_GETFD:
        return FD_CLOEXEC if u32(fd) in t.files.cloexec else 0
    if command == F_SETFD:
        set_cloexec(t, fd, bool(argument & FD_CLOEXEC))
        return 0
    if command == F_GETFL:
        return file.flags
    if isinstance(file, PathFile):
        raise SysError(EBADF)
    handler = _COMMANDS.get(command)
    if handler is None:
        raise SysError(EINVAL)
    return handler(k, t, file, command, argument)


def set_cloexec(t: "Task", fd: int, on: bool) -> None:
    """Whether execve(2) closes this descriptor."""
    if on:
        t.files.cloexec.add(u32(fd))
    else:
        t.files.cloexec.discard(u32(fd))


def _set_flags(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    if argument & O_NOATIME & ~file.flags and t.fs.uid not in (0, file.inode.uid):
        raise SysError(EPERM)
    file.flags = (file.flags & ~_SETTABLE) | (argument & _SETTABLE)
    return 0


def _pipe_size(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    if not isinstance(file, PipeFile):
        raise SysError(EBADF)
    return file.pipe.resize(s32(argument)) if command == F_SETPIPE_SZ else file.pipe.capacity


def _seals(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    inode, seals = file.inode, u32(argument)
    if not isinstance(inode, RegularFile):
        raise SysError(EINVAL)
    if command == F_GET_SEALS:
        return inode.seals
    if not file.can_write:
        raise SysError(EPERM)
    if seals & ~_ALL_SEALS:
        raise SysError(EINVAL)
    inode.seal(seals)
    return 0


def _write_hint(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    """RWH_*: kept with the inode, of no consequence for memory."""
    if command == F_GET_RW_HINT:
        uaccess.write_u64(t.mm, argument, file.inode.write_hint)
        return 0
    hint = uaccess.read_u64(t.mm, argument)
    if hint > _LAST_HINT:
        raise SysError(EINVAL)
    file.inode.write_hint = hint
    return 0


def _lease(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    """No leases are given (as by file systems that have none), so there is never one to see."""
    if command == F_GETLEASE:
        return F_UNLCK
    raise SysError(EAGAIN if s32(argument) == F_UNLCK else EINVAL)


# -- who is told ----------------------------------------------------------------------------------------


def _owner(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    told = file.told
    if command == F_GETOWN:
        return -told.number if told.kind == F_OWNER_PGRP else told.number
    if command == F_GETOWN_EX:
        uaccess.write(t.mm, argument, _OWNER_EX.pack(told.kind, told.number))
        return 0
    if command == F_SETOWN:
        who = s32(argument)
        if who == -(1 << 31):
            raise SysError(EINVAL)
        kind, number = (F_OWNER_PGRP, -who) if who < 0 else (F_OWNER_PID, who)
    else:
        kind, number = _OWNER_EX.unpack(uaccess.read(t.mm, argument, _OWNER_EX.size))
        if kind not in (F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP):
            raise SysError(EINVAL)
    if number and not _exists(k, kind, number):
        raise SysError(ESRCH)
    file.told = told._replace(kind=kind, number=number)
    return 0


def _exists(k: "Kernel", kind: int, number: int) -> bool:
    """True if there is such a thread, process or process group."""
    if kind == F_OWNER_PGRP:
        return any(process.pgid == number for process in k.processes.values())
    return number in k.tasks or number in k.processes


def _signal(k: "Kernel", t: "Task", file: File, command: int, argument: int) -> int:
    if command == F_GETSIG:
        return file.told.signal
    if argument > _SIGNALS:
        raise SysError(EINVAL)
    file.told = file.told._replace(signal=argument)
    return 0


# -- locks ----------------------------------------------------------------------------------------------


def _range(t: "Task", file: File, flock: tuple[int, int, int, int, int], any_kind: bool) -> Range:
    """What a struct flock asks for (Linux flock_to_posix_lock). Raises SysError EINVAL, EOVERFLOW."""
    kind, whence, start, length, _pid = flock
    if kind not in (F_RDLCK, F_WRLCK) and not (any_kind and kind == F_UNLCK):
        raise SysError(EINVAL)
    if whence == SEEK_CUR:
        base = file.pos
    elif whence == SEEK_END:
        base = file.inode.size()
    elif whence == SEEK_SET:
        base = 0
    else:
        raise SysError(EINVAL)
    start += base
    if start > OFFSET_MAX:
        raise SysError(EOVERFLOW)
    if start < 0 or start + min(length, 0) < 0:
        raise SysError(EINVAL)
    if start + length - 1 > OFFSET_MAX:
        raise SysError(EOVERFLOW)
    if length < 0:
        return Range(kind, start + length, start - 1, t.tgid)
    return Range(kind, start, start + length - 1 if length else OFFSET_MAX, t.tgid)


def _locks_of(inode: Inode) -> Locks:
    if inode.locks is None:
        inode.locks = Locks()
    return inode.locks


def _test_lock(k: "Kernel", t: "Task", file: File, command: int, address: int) -> int:
    """F_GETLK, F_OFD_GETLK: the first lock in the way, or that there is none."""
    flock = unpack_flock(uaccess.read(t.mm, address, FLOCK_SIZE))
    mine = command == F_OFD_GETLK
    wanted = _range(t, file, flock, mine)
    if mine and flock[4]:
        raise SysError(EINVAL)
    locks = file.inode.locks
    found = locks.conflict(file if mine else t.files, wanted) if locks is not None else None
    if found is None:
        answer = (F_UNLCK, *flock[1:])
    else:
        held = found.range
        length = 0 if held.last == OFFSET_MAX else held.last - held.start + 1
        answer = (held.kind, SEEK_SET, held.start, length, held.pid)
    uaccess.write(t.mm, address, pack_flock(*answer))
    return 0


def _set_lock(k: "Kernel", t: "Task", file: File, command: int, address: int) -> int:
    """F_SETLK and F_SETLKW, and those of open files."""
    flock = unpack_flock(uaccess.read(t.mm, address, FLOCK_SIZE))
    wanted = _range(t, file, flock, True)
    if (wanted.kind == F_RDLCK and not file.can_read) or (wanted.kind == F_WRLCK and not file.can_write):
        raise SysError(EBADF)
    owner: object = t.files
    if command in (F_OFD_SETLK, F_OFD_SETLKW):
        if flock[4]:
            raise SysError(EINVAL)
        owner, wanted = file, wanted._replace(pid=-1)
    if wanted.kind == F_UNLCK and file.inode.locks is None:
        return 0
    locks = _locks_of(file.inode)
    found = locks.conflict(owner, wanted)
    if found is None:
        locks.set(owner, wanted)
        return 0
    if command in (F_SETLK, F_OFD_SETLK):
        raise SysError(EAGAIN)
    if owner is t.files and _waits_for(k, found.owner, owner):
        raise SysError(EDEADLK)
    t.restart["lock"] = (locks, wanted)
    raise Block(locks.queue)


def _waits_for(k: "Kernel", waiter: object, owner: object) -> bool:
    """True if `waiter`, a descriptor table, waits for a range of `owner`, directly or by way of others.

    Open files wait for nothing: who would wait through one is not known (Linux posix_locks_deadlock).
    """
    seen: list[object] = []
    while waiter is not owner:
        seen.append(waiter)
        tasks = (task for task in k.tasks.values() if task.files is waiter and task.state is State.WAITING)
        wait: tuple[Locks, Range] | None = next((t.restart["lock"] for t in tasks if "lock" in t.restart), None)
        found = wait[0].conflict(waiter, wait[1]) if wait is not None else None
        if found is None or any(found.owner is other for other in seen):
            return False
        waiter = found.owner
    return True


@syscall(SYS_flock)
def sys_flock(k: "Kernel", t: "Task", fd: int, operation: int) -> int:
    """flock(2). LOCK_MAND does nothing, as since Linux 5.17."""
    operation = u32(operation)
    if operation & LOCK_MAND:
        return 0
    kind = _FLOCK_KINDS.get(operation & ~LOCK_NB)
    if kind is None:
        raise SysError(EINVAL)
    file = file_of(t, fd)
    if kind != F_UNLCK and not (file.can_read or file.can_write):
        raise SysError(EBADF)
    locks = _locks_of(file.inode)
    if not locks.flock(file, kind):
        if operation & LOCK_NB:
            raise SysError(EAGAIN)
        raise Block(locks.queue)
    return 0


_COMMANDS: Final[dict[int, Command]] = {
    F_SETFL: _set_flags,
    **dict.fromkeys((F_GETLK, F_OFD_GETLK), _test_lock),
    **dict.fromkeys((F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW), _set_lock),
    **dict.fromkeys((F_GETPIPE_SZ, F_SETPIPE_SZ), _pipe_size),
    **dict.fromkeys((F_GET_SEALS, F_ADD_SEALS), _seals),
    **dict.fromkeys((F_GETOWN, F_SETOWN, F_GETOWN_EX, F_SETOWN_EX), _owner),
    **dict.fromkeys((F_GETSIG, F_SETSIG), _signal),
    **dict.fromkeys((F_GETLEASE, F_SETLEASE), _lease),
    **dict.fromkeys((F_GET_RW_HINT, F_SET_RW_HINT), _write_hint),
}
