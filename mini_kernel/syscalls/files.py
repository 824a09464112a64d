"""Descriptors: open(2), close(2), lseek(2), dup(2), ioctl(2), and a file's length. fcntl is a module of its own."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import MAX_OFFSET, RegularOpen
from mini_kernel.fs.inode import Directory, Inode, RegularFile
from mini_kernel.fs.path import MAY_WRITE, require
from mini_kernel.fs.pipe import Fifo
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import base_of, file_of, read_path
from mini_kernel.syscalls.fcntl import set_cloexec
from mini_kernel.syscalls.table import s32, s64, syscall, u32
from mini_kernel.uapi.errno import (
    E2BIG,
    EAGAIN,
    EBADF,
    EFBIG,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENODEV,
    EOPNOTSUPP,
    ESPIPE,
)
from mini_kernel.uapi.fcntl import (
    AT_FDCWD,
    CLOSE_RANGE_CLOEXEC,
    CLOSE_RANGE_UNSHARE,
    F_SEAL_SEAL,
    FASYNC,
    O_ACCMODE,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECT,
    O_DIRECTORY,
    O_DSYNC,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_SYNC,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    POSIX_FADV_NOREUSE,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from mini_kernel.uapi.ioctls import FIOCLEX, FIONBIO, FIONCLEX, FIONREAD
from mini_kernel.uapi.mman import MFD_ALLOW_SEALING, MFD_CLOEXEC
from mini_kernel.uapi.numbers import (
    SYS_close,
    SYS_close_range,
    SYS_creat,
    SYS_dup,
    SYS_dup2,
    SYS_dup3,
    SYS_fadvise64,
    SYS_fallocate,
    SYS_fdatasync,
    SYS_fsync,
    SYS_ftruncate,
    SYS_ioctl,
    SYS_lseek,
    SYS_memfd_create,
    SYS_open,
    SYS_openat,
    SYS_openat2,
    SYS_readahead,
    SYS_sync,
    SYS_sync_file_range,
    SYS_syncfs,
    SYS_truncate,
)
from mini_kernel.uapi.resource import RLIMIT_FSIZE
from mini_kernel.uapi.signal import SIGXFSZ
from mini_kernel.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_HOW: Final = struct.Struct("<QQQ")  # struct open_how
_OPEN_FLAGS: Final = (
    O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | FASYNC | O_DIRECT
    | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE
)  # fmt: skip
_SCOPES: Final = RESOLVE_BENEATH | RESOLVE_IN_ROOT
_RESOLVE: Final = _SCOPES | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED
_FALLOC_KEEP_SIZE, _FALLOC_PUNCH_HOLE, _FALLOC_ZERO_RANGE = 1, 2, 16  # linux/falloc.h
_MFD_NAME_MAX: Final = 249


# -- opening and closing --------------------------------------------------------------------------------


@syscall(SYS_openat)
def sys_openat(k: "Kernel", t: "Task", dirfd: int, address: int, flags: int, mode: int) -> int:
    """openat(2)."""
    path = read_path(t, address)
    flags = u32(flags)
    t.files.free()  # EMFILE before a file is made
    file = k.vfs.open(t, path, flags, mode & 0o7777, base_of(t, dirfd, path))
    return t.files.install(file, bool(flags & O_CLOEXEC))


@syscall(SYS_open)
def sys_open(k: "Kernel", t: "Task", address: int, flags: int, mode: int) -> int:
    """open(2)."""
    return sys_openat(k, t, AT_FDCWD, address, flags, mode)


@syscall(SYS_openat2)
def sys_openat2(k: "Kernel", t: "Task", dirfd: int, address: int, how: int, size: int) -> int:
    """openat2(2): unlike open(2) it refuses flags it does not know, and RESOLVE_* say what a path may do."""
    if size < _HOW.size:
        raise SysError(EINVAL)
    if size > PAGE_SIZE:
        raise SysError(E2BIG)
    data = uaccess.read(t.mm, how, size)
    if any(data[_HOW.size :]):
        raise SysError(E2BIG)
    flags, mode, resolve = _HOW.unpack(data[: _HOW.size])
    _check_how(flags, mode, resolve)
    path = read_path(t, address)
    t.files.free()
    file = k.vfs.open(t, path, flags, mode, base_of(t, dirfd, path, resolve), resolve)
    return t.files.install(file, bool(flags & O_CLOEXEC))


def _check_how(flags: int, mode: int, resolve: int) -> None:
    """Linux build_open_flags. Raises SysError EINVAL, EAGAIN."""
    if flags & ~_OPEN_FLAGS or resolve & ~_RESOLVE or resolve & _SCOPES == _SCOPES:
        raise SysError(EINVAL)
    if flags & O_PATH and flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC):
        raise SysError(EINVAL)
    creates = flags & (O_CREAT | O_TMPFILE & ~O_DIRECTORY)
    if mode & ~0o7777 or (mode and not creates):
        raise SysError(EINVAL)
    if resolve & RESOLVE_CACHED and (creates or flags & O_TRUNC):
        raise SysError(EAGAIN)


@syscall(SYS_creat)
def sys_creat(k: "Kernel", t: "Task", address: int, mode: int) -> int:
    """creat(2)."""
    return sys_openat(k, t, AT_FDCWD, address, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall(SYS_memfd_create)
def sys_memfd_create(k: "Kernel", t: "Task", name: int, flags: int) -> int:
    """memfd_create(2), without huge pages: MFD_HUGETLB is a bit like any that is not known."""
    flags = u32(flags)
    if flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING):
        raise SysError(EINVAL)
    try:
        text = uaccess.read_cstr(t.mm, name, _MFD_NAME_MAX + 1)
    except SysError as error:
        raise SysError(EINVAL if error.errno == ENAMETOOLONG else error.errno) from None
    t.files.free()
    file = k.vfs.memory_file(t, text, 0 if flags & MFD_ALLOW_SEALING else F_SEAL_SEAL)
    return t.files.install(file, bool(flags & MFD_CLOEXEC))


@syscall(SYS_close)
def sys_close(k: "Kernel", t: "Task", fd: int) -> int:
    """close(2)."""
    t.files.close(fd)
    return 0


@syscall(SYS_close_range)
def sys_close_range(k: "Kernel", t: "Task", first: int, last: int, flags: int) -> int:
    """close_range(2)."""
    first, last, flags = u32(first), u32(last), u32(flags)
    if flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) or first > last:
        raise SysError(EINVAL)
    if flags & CLOSE_RANGE_UNSHARE and t.files.users > 1:
        shared, t.files = t.files, t.files.copy()
        shared.put_table()
    chosen = [fd for fd in sorted(t.files.fds) if first <= fd <= last]
    if flags & CLOSE_RANGE_CLOEXEC:
        t.files.cloexec.update(chosen)
    else:
        for fd in chosen:
            t.files.close(fd)
    return 0


# -- copies of a descriptor -----------------------------------------------------------------------------


@syscall(SYS_dup)
def sys_dup(k: "Kernel", t: "Task", fd: int) -> int:
    """dup(2)."""
    return t.files.dup(fd)


@syscall(SYS_dup2)
def sys_dup2(k: "Kernel", t: "Task", old: int, new: int) -> int:
    """dup2(2)."""
    if u32(old) == u32(new):
        t.files.get(old)
        return u32(new)
    return t.files.dup_to(old, s32(new))


@syscall(SYS_dup3)
def sys_dup3(k: "Kernel", t: "Task", old: int, new: int, flags: int) -> int:
    """dup3(2)."""
    if u32(flags) & ~O_CLOEXEC or u32(old) == u32(new):
        raise SysError(EINVAL)
    return t.files.dup_to(old, s32(new), bool(flags & O_CLOEXEC))


@syscall(SYS_ioctl)
def sys_ioctl(k: "Kernel", t: "Task", fd: int, request: int, argument: int) -> int:
    """ioctl(2)."""
    file, request = file_of(t, fd), u32(request)
    if request in (FIOCLEX, FIONCLEX):
        set_cloexec(t, fd, request == FIOCLEX)
    elif request == FIONBIO:
        on = uaccess.read_u32(t.mm, argument)
        file.flags = file.flags | O_NONBLOCK if on else file.flags & ~O_NONBLOCK
    elif request == FIONREAD and isinstance(file, RegularOpen):
        uaccess.write_u32(t.mm, argument, file.inode.size() - file.pos)
    else:
        return file.ioctl(t, request, argument)
    return 0


# -- position and length --------------------------------------------------------------------------------


@syscall(SYS_lseek)
def sys_lseek(k: "Kernel", t: "Task", fd: int, offset: int, whence: int) -> int:
    """lseek(2), with SEEK_DATA and SEEK_HOLE."""
    return file_of(t, fd).seek(s64(offset), u32(whence))


def _regular(t: "Task", fd: int) -> RegularFile:
    """The inode of a regular file open for writing. Raises SysError EBADF, ESPIPE, ENODEV."""
    file = file_of(t, fd)
    if not file.can_write:
        raise SysError(EBADF)
    if not isinstance(file.inode, RegularFile):
        raise SysError(ESPIPE if isinstance(file.inode, Fifo) else ENODEV)
    return file.inode


def _check_size_limit(t: "Task", inode: Inode, size: int) -> None:
    """SysError(EFBIG), with SIGXFSZ, if a file would grow to more than RLIMIT_FSIZE (Linux inode_newsize_ok)."""
    limit = t.process.rlimits.get(RLIMIT_FSIZE)
    if limit is not None and inode.size() < size and size > limit[0]:
        t.send_signal(SIGXFSZ)
        raise SysError(EFBIG)


@syscall(SYS_ftruncate)
def sys_ftruncate(k: "Kernel", t: "Task", fd: int, length: int) -> int:
    """ftruncate(2)."""
    size = s64(length)
    if size < 0:
        raise SysError(EINVAL)
    file = file_of(t, fd)
    if not file.can_write or not isinstance(file.inode, RegularFile):
        raise SysError(EINVAL)
    _check_size_limit(t, file.inode, size)
    file.inode.truncate(size)
    return 0


@syscall(SYS_truncate)
def sys_truncate(k: "Kernel", t: "Task", address: int, length: int) -> int:
    """truncate(2)."""
    size = s64(length)
    if size < 0:
        raise SysError(EINVAL)
    inode = k.vfs.lookup(t, read_path(t, address))
    if isinstance(inode, Directory):
        raise SysError(EISDIR)
    require(inode, MAY_WRITE, t.fs)
    _check_size_limit(t, inode, size)
    inode.truncate(size)
    return 0


@syscall(SYS_fallocate)
def sys_fallocate(k: "Kernel", t: "Task", fd: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2): growing, punching holes, zeroing. Memory is not reserved, only the length changes."""
    inode = _regular(t, fd)
    mode, start, size = s32(mode), s64(offset), s64(length)
    if start < 0 or size <= 0:
        raise SysError(EINVAL)
    if start + size > MAX_OFFSET:
        raise SysError(EFBIG)
    keep = mode & _FALLOC_KEEP_SIZE
    if mode & ~_FALLOC_KEEP_SIZE not in (0, _FALLOC_PUNCH_HOLE, _FALLOC_ZERO_RANGE) or (
        mode & _FALLOC_PUNCH_HOLE and not keep
    ):
        raise SysError(EOPNOTSUPP)
    if not mode & _FALLOC_PUNCH_HOLE:
        if not keep:
            _check_size_limit(t, inode, start + size)
        inode.check_growth(start + size)
    if mode & ~_FALLOC_KEEP_SIZE:
        inode.punch(start, start + size)
    if not keep and start + size > inode.cache.size:
        inode.truncate(start + size)
    return 0


# -- what has no effect on files in memory --------------------------------------------------------------


@syscall(SYS_fsync)
def sys_fsync(k: "Kernel", t: "Task", fd: int) -> int:
    """fsync(2): content in memory is where it will stay; that of a host file goes there."""
    inode = file_of(t, fd).inode
    if isinstance(inode, Fifo):
        raise SysError(EINVAL)
    if inode.backing is not None:
        inode.backing.write_back(True)
    return 0


@syscall(SYS_fdatasync)
def sys_fdatasync(k: "Kernel", t: "Task", fd: int) -> int:
    """fdatasync(2)."""
    return sys_fsync(k, t, fd)


@syscall(SYS_sync)
def sys_sync(k: "Kernel", t: "Task") -> int:
    """sync(2)."""
    k.vfs.write_back()
    return 0


@syscall(SYS_syncfs)
def sys_syncfs(k: "Kernel", t: "Task", fd: int) -> int:
    """syncfs(2)."""
    file_of(t, fd)
    k.vfs.write_back()
    return 0


@syscall(SYS_sync_file_range)
def sys_sync_file_range(k: "Kernel", t: "Task", fd: int, offset: int, count: int, flags: int) -> int:
    """sync_file_range(2)."""
    if isinstance(file_of(t, fd).inode, Fifo):
        raise SysError(ESPIPE)
    if s64(offset) < 0 or s64(count) < 0 or u32(flags) & ~7:
        raise SysError(EINVAL)
    return 0


@syscall(SYS_fadvise64)
def sys_fadvise64(k: "Kernel", t: "Task", fd: int, offset: int, length: int, advice: int) -> int:
    """posix_fadvise(2)."""
    if isinstance(file_of(t, fd).inode, Fifo):
        raise SysError(ESPIPE)
    if not 0 <= s32(advice) <= POSIX_FADV_NOREUSE or s64(length) < 0:
        raise SysError(EINVAL)
    return 0


@syscall(SYS_readahead)
def sys_readahead(k: "Kernel", t: "Task", fd: int, offset: int, count: int) -> int:
    """readahead(2)."""
    file = file_of(t, fd)
    if not file.can_read:
        raise SysError(EBADF)
    if not isinstance(file, RegularOpen):
        raise SysError(EINVAL)
    return 0
