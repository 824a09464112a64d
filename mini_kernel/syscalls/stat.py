"""Attributes of files: stat(2), access(2), chmod(2), chown(2), utimensat(2)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Inode
from mini_kernel.fs.path import MAY_WRITE, permits
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import file_of, inode_at
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.uapi.errno import EACCES, EFAULT, EINVAL, EPERM
from mini_kernel.uapi.fcntl import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    S_ISGID,
    STATX_BASIC_STATS,
    STATX_BTIME,
)
from mini_kernel.uapi.numbers import (
    SYS_access,
    SYS_chmod,
    SYS_chown,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchmodat2,
    SYS_fchown,
    SYS_fchownat,
    SYS_fstat,
    SYS_futimesat,
    SYS_lchown,
    SYS_lstat,
    SYS_newfstatat,
    SYS_stat,
    SYS_statx,
    SYS_utime,
    SYS_utimensat,
    SYS_utimes,
)
from mini_kernel.uapi.structs import NSEC_PER_SEC, unpack_timespec, unpack_timeval
from mini_kernel.uapi.time import UTIME_NOW, UTIME_OMIT

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_NOFOLLOW: Final = AT_SYMLINK_NOFOLLOW
Times = tuple[int | None, int | None]  # (atime, mtime) in ns, None to leave one


# -- stat -----------------------------------------------------------------------------------------------


@syscall(SYS_newfstatat)
def sys_newfstatat(k: "Kernel", t: "Task", dirfd: int, path: int, buf: int, flags: int) -> int:
    """fstatat(2)."""
    if u32(flags) & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    uaccess.write(t.mm, buf, inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags).stat().pack())
    return 0


@syscall(SYS_stat)
def sys_stat(k: "Kernel", t: "Task", path: int, buf: int) -> int:
    """stat(2)."""
    uaccess.write(t.mm, buf, inode_at(t, AT_FDCWD, path, True).stat().pack())
    return 0


@syscall(SYS_lstat)
def sys_lstat(k: "Kernel", t: "Task", path: int, buf: int) -> int:
    """lstat(2)."""
    uaccess.write(t.mm, buf, inode_at(t, AT_FDCWD, path, False).stat().pack())
    return 0


@syscall(SYS_fstat)
def sys_fstat(k: "Kernel", t: "Task", fd: int, buf: int) -> int:
    """fstat(2)."""
    uaccess.write(t.mm, buf, t.files.get(fd).inode.stat().pack())
    return 0


@syscall(SYS_statx)
def sys_statx(k: "Kernel", t: "Task", dirfd: int, path: int, flags: int, mask: int, buf: int) -> int:
    """statx(2)."""
    known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE
    if u32(flags) & ~known or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE or mask & 0x8000_0000:
        raise SysError(EINVAL)
    inode = inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags)
    uaccess.write(t.mm, buf, inode.stat().pack_statx(STATX_BASIC_STATS | (u32(mask) & STATX_BTIME)))
    return 0


# -- access ---------------------------------------------------------------------------------------------


@syscall(SYS_faccessat2)
def sys_faccessat2(k: "Kernel", t: "Task", dirfd: int, path: int, mode: int, flags: int) -> int:
    """faccessat2(2): by the real ids, along the whole path, unless AT_EACCESS."""
    if u32(mode) & ~7 or u32(flags) & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    own = t.fs
    if not flags & AT_EACCESS and (own.uid, own.gid) != (t.cred.ruid, t.cred.rgid):
        t.fs = replace(own, uid=t.cred.ruid, gid=t.cred.rgid)
    try:
        if not permits(inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags), u32(mode), t.fs):
            raise SysError(EACCES)
    finally:
        t.fs = own
    return 0


@syscall(SYS_faccessat)
def sys_faccessat(k: "Kernel", t: "Task", dirfd: int, path: int, mode: int) -> int:
    """faccessat(2), which has no flags."""
    return sys_faccessat2(k, t, dirfd, path, mode, 0)


@syscall(SYS_access)
def sys_access(k: "Kernel", t: "Task", path: int, mode: int) -> int:
    """access(2)."""
    return sys_faccessat2(k, t, AT_FDCWD, path, mode, 0)


# -- mode and owner -------------------------------------------------------------------------------------


def _require_owner(t: "Task", inode: Inode) -> None:
    if t.fs.uid not in (0, inode.uid):
        raise SysError(EPERM)


def _chmod(t: "Task", inode: Inode, mode: int) -> int:
    _require_owner(t, inode)
    if t.fs.uid and inode.gid != t.fs.gid and inode.gid not in t.fs.groups:
        mode &= ~S_ISGID
    inode.chmod(mode)
    return 0


@syscall(SYS_chmod)
def sys_chmod(k: "Kernel", t: "Task", path: int, mode: int) -> int:
    """chmod(2)."""
    return _chmod(t, inode_at(t, AT_FDCWD, path, True), mode)


@syscall(SYS_fchmodat)
def sys_fchmodat(k: "Kernel", t: "Task", dirfd: int, path: int, mode: int) -> int:
    """fchmodat(2), which has no flags."""
    return _chmod(t, inode_at(t, dirfd, path, True), mode)


@syscall(SYS_fchmodat2)
def sys_fchmodat2(k: "Kernel", t: "Task", dirfd: int, path: int, mode: int, flags: int) -> int:
    """fchmodat2(2)."""
    if u32(flags) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    return _chmod(t, inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags), mode)


@syscall(SYS_fchmod)
def sys_fchmod(k: "Kernel", t: "Task", fd: int, mode: int) -> int:
    """fchmod(2)."""
    return _chmod(t, file_of(t, fd).inode, mode)


def _chown(t: "Task", inode: Inode, uid: int, gid: int) -> int:
    uid, gid = s32(uid), s32(gid)
    if t.fs.uid:
        _require_owner(t, inode)
        if uid not in (-1, inode.uid) or gid not in (-1, inode.gid, t.fs.gid, *t.fs.groups):
            raise SysError(EPERM)
    inode.chown(uid if uid == -1 else u32(uid), gid if gid == -1 else u32(gid))
    return 0


@syscall(SYS_chown)
def sys_chown(k: "Kernel", t: "Task", path: int, uid: int, gid: int) -> int:
    """chown(2)."""
    return _chown(t, inode_at(t, AT_FDCWD, path, True), uid, gid)


@syscall(SYS_lchown)
def sys_lchown(k: "Kernel", t: "Task", path: int, uid: int, gid: int) -> int:
    """lchown(2)."""
    return _chown(t, inode_at(t, AT_FDCWD, path, False), uid, gid)


@syscall(SYS_fchown)
def sys_fchown(k: "Kernel", t: "Task", fd: int, uid: int, gid: int) -> int:
    """fchown(2)."""
    return _chown(t, file_of(t, fd).inode, uid, gid)


@syscall(SYS_fchownat)
def sys_fchownat(k: "Kernel", t: "Task", dirfd: int, path: int, uid: int, gid: int, flags: int) -> int:
    """fchownat(2)."""
    if u32(flags) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    return _chown(t, inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags), uid, gid)


# -- times ----------------------------------------------------------------------------------------------


def _set_times(k: "Kernel", t: "Task", inode: Inode, times: Times | None) -> int:
    """Set the times; None means now, which needs no ownership, only the right to write."""
    if times is None:
        if t.fs.uid not in (0, inode.uid) and not permits(inode, MAY_WRITE, t.fs):
            raise SysError(EACCES)
        now = k.clock.real_ns()
        times = (now, now)
    elif times != (None, None):
        _require_owner(t, inode)
    inode.set_times(*times)
    return 0


def _read_timespecs(k: "Kernel", t: "Task", address: int) -> Times | None:
    if not address:
        return None
    data, now = uaccess.read(t.mm, address, 32), k.clock.real_ns()
    times: list[int | None] = []
    for seconds, ns in (unpack_timespec(data[:16]), unpack_timespec(data[16:])):
        if ns not in (UTIME_NOW, UTIME_OMIT) and not 0 <= ns < NSEC_PER_SEC:
            raise SysError(EINVAL)
        times.append(now if ns == UTIME_NOW else None if ns == UTIME_OMIT else seconds * NSEC_PER_SEC + ns)
    return times[0], times[1]


@syscall(SYS_utimensat)
def sys_utimensat(k: "Kernel", t: "Task", dirfd: int, path: int, times: int, flags: int) -> int:
    """utimensat(2); without a path, futimens(3)."""
    wanted = _read_timespecs(k, t, times)
    if wanted == (None, None):
        return 0  # nothing to do: the rest is not even looked at
    if u32(flags) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    if not path and s32(dirfd) != AT_FDCWD:
        if flags:
            raise SysError(EINVAL)
        return _set_times(k, t, file_of(t, dirfd).inode, wanted)
    if not path:
        raise SysError(EFAULT)
    return _set_times(k, t, inode_at(t, dirfd, path, not flags & _NOFOLLOW, flags), wanted)


@syscall(SYS_futimesat)
def sys_futimesat(k: "Kernel", t: "Task", dirfd: int, path: int, times: int) -> int:
    """futimesat(2)."""
    wanted: Times | None = None
    if times:
        data = uaccess.read(t.mm, times, 32)
        pairs = unpack_timeval(data[:16]), unpack_timeval(data[16:])
        if any(not 0 <= us < 1_000_000 for _seconds, us in pairs):
            raise SysError(EINVAL)
        wanted = pairs[0][0] * NSEC_PER_SEC + pairs[0][1] * 1000, pairs[1][0] * NSEC_PER_SEC + pairs[1][1] * 1000
    return _set_times(k, t, inode_at(t, dirfd, path, True), wanted)


@syscall(SYS_utimes)
def sys_utimes(k: "Kernel", t: "Task", path: int, times: int) -> int:
    """utimes(2)."""
    return sys_futimesat(k, t, AT_FDCWD, path, times)


@syscall(SYS_utime)
def sys_utime(k: "Kernel", t: "Task", path: int, times: int) -> int:
    """utime(2): whole seconds."""
    wanted: Times | None = None
    if times:
        atime, mtime = unpack_timespec(uaccess.read(t.mm, times, 16))
        wanted = atime * NSEC_PER_SEC, mtime * NSEC_PER_SEC
    return _set_times(k, t, inode_at(t, AT_FDCWD, path, True), wanted)
