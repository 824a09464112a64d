"""read(2), write(2) and their kin: moving bytes between open files and user memory.

A file says how much it can take or give (or that the caller waits), then memory is faulted in for that much, then
bytes move. A write that waits in the middle keeps its count in `t.restart["done"]`.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import MAX_OFFSET, DirectoryOpen, File, RegularOpen, SeekableFile
from mini_kernel.syscalls.args import Iov, gather, read_iov
from mini_kernel.syscalls.table import s64, syscall
from mini_kernel.uapi.errno import EBADF, EFAULT, EFBIG, EINVAL, EISDIR, EOPNOTSUPP, EPIPE
from mini_kernel.uapi.fcntl import O_APPEND, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC
from mini_kernel.uapi.numbers import (
    SYS_pread64,
    SYS_preadv,
    SYS_preadv2,
    SYS_pwrite64,
    SYS_pwritev,
    SYS_pwritev2,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
)
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_FSIZE
from mini_kernel.uapi.signal import SIGPIPE, SIGXFSZ
from mini_kernel.wait import Block
from mini_kernel.x86 import TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

MAX_RW: Final = 0x7FFF_F000  # Linux MAX_RW_COUNT
_RWF_KNOWN: Final = RWF_APPEND | RWF_DSYNC | RWF_HIPRI | RWF_NOWAIT | RWF_SYNC


def readable(t: "Task", fd: int) -> File:
    """The open file of a descriptor, open for reading. Raises SysError(EBADF)."""
    file = t.files.fds.get(fd) or t.files.get(fd)
    if not file.can_read:
        raise SysError(EBADF)
    return file


def writable(t: "Task", fd: int) -> File:
    """The open file of a descriptor, open for writing. Raises SysError(EBADF)."""
    file = t.files.fds.get(fd) or t.files.get(fd)
    if not file.can_write:
        raise SysError(EBADF)
    return file


def read_file(t: "Task", file: File, iov: Iov, total: int) -> int:
    """read(2) into buffers of `total` bytes; the count. Raises Block or SysError."""
    if not total:
        if isinstance(file, DirectoryOpen):
            raise SysError(EISDIR)
        return 0
    n = file.may_read(total)
    if not n:
        return 0
    return file.read_into(gather(t.mm, iov, 0, n, True))


def write_file(t: "Task", file: File, iov: Iov, total: int) -> int:
    """write(2) of `total` bytes; the count. Raises Block or SysError; a pipe nobody reads sends SIGPIPE."""
    if file.sink or not total:
        return total or file.write_nothing()
    done: int = t.restart.get("done", 0)
    if RLIMIT_FSIZE in t.process.rlimits and isinstance(file, RegularOpen):
        total = below_size_limit(t, file, file.pos, total)
    try:
        while done < total:
            n = file.may_write(total - done)
            taken = file.write_from(gather(t.mm, iov, done, n, False))
            done += taken
            if taken < n:
                break
    except Block:
        if done:
            t.restart["done"] = done
        raise
    except SysError as error:
        if error.errno == EPIPE and not file.breaks_silently:
            t.send_signal(SIGPIPE)
        if not done:
            raise
    return done


def below_size_limit(t: "Task", file: RegularOpen, offset: int, count: int) -> int:
    """How much of a write RLIMIT_FSIZE lets through. Raises SysError(EFBIG), with SIGXFSZ, if it is nothing.

    Linux generic_write_check_limits.
    """
    limit = t.process.rlimits.get(RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))[0]
    start = file.inode.size() if file.flags & O_APPEND else offset
    if start >= limit:
        t.send_signal(SIGXFSZ)
        raise SysError(EFBIG)
    return min(count, limit - start)


@syscall(SYS_read)
def sys_read(k: "Kernel", t: "Task", fd: int, buf: int, count: int) -> int:
    """read(2)."""
    file = readable(t, fd)
    if buf + count > TASK_SIZE:  # Linux access_ok
        raise SysError(EFAULT)
    if not count:
        return read_file(t, file, [], 0)
    n = file.may_read(min(count, MAX_RW))
    if not n:
        return 0
    return file.read_into(gather(t.mm, [(buf, n)], 0, n, True))


@syscall(SYS_write)
def sys_write(k: "Kernel", t: "Task", fd: int, buf: int, count: int) -> int:
    """write(2)."""
    file = writable(t, fd)
    if buf + count > TASK_SIZE:  # Linux access_ok
        raise SysError(EFAULT)
    count = min(count, MAX_RW)
    return write_file(t, file, [(buf, count)], count)


@syscall(SYS_readv)
def sys_readv(k: "Kernel", t: "Task", fd: int, vec: int, count: int) -> int:
    """readv(2)."""
    file = readable(t, fd)
    iov, total = read_iov(t, vec, count)
    return read_file(t, file, iov, min(total, MAX_RW))


@syscall(SYS_writev)
def sys_writev(k: "Kernel", t: "Task", fd: int, vec: int, count: int) -> int:
    """writev(2)."""
    file = writable(t, fd)
    iov, total = read_iov(t, vec, count)
    return write_file(t, file, iov, min(total, MAX_RW))


# -- at a position --------------------------------------------------------------------------------------


def _check_end(file: File, offset: int, total: int) -> None:
    """Linux rw_verify_area: SysError(EINVAL) if positions would overflow."""
    if offset + total > MAX_OFFSET and isinstance(file, SeekableFile):
        raise SysError(EINVAL)


def _read_at(t: "Task", file: File, iov: Iov, total: int, offset: int) -> int:
    _check_end(file, offset, total)
    n = file.readable_at(total, offset)
    if not n:
        return 0
    return file.read_at(gather(t.mm, iov, 0, n, True), offset)


def _write_at(t: "Task", file: File, iov: Iov, total: int, offset: int) -> int:
    _check_end(file, offset, total)
    if file.sink:
        return total
    if not total and isinstance(file, RegularOpen):
        return 0
    if isinstance(file, RegularOpen):
        total = below_size_limit(t, file, offset, total)
    seekable = isinstance(file, SeekableFile)  # others refuse, and do so before the memory is looked at
    return file.write_at(gather(t.mm, iov, 0, total, False) if total and seekable else [], offset)


def position(offset: int) -> int:
    """A file position. Raises SysError(EINVAL) below 0."""
    offset = s64(offset)
    if offset < 0:
        raise SysError(EINVAL)
    return offset


@syscall(SYS_pread64)
def sys_pread64(k: "Kernel", t: "Task", fd: int, buf: int, count: int, offset: int) -> int:
    """pread(2)."""
    offset = position(offset)
    file = readable(t, fd)
    count = min(count, MAX_RW)
    return _read_at(t, file, [(buf, count)], count, offset)


@syscall(SYS_pwrite64)
def sys_pwrite64(k: "Kernel", t: "Task", fd: int, buf: int, count: int, offset: int) -> int:
    """pwrite(2)."""
    offset = position(offset)
    file = writable(t, fd)
    count = min(count, MAX_RW)
    return _write_at(t, file, [(buf, count)], count, offset)


@syscall(SYS_preadv)
def sys_preadv(k: "Kernel", t: "Task", fd: int, vec: int, count: int, low: int, high: int) -> int:
    """preadv(2); the offset is all in `low` on 64-bit machines."""
    offset = position(low)
    file = readable(t, fd)
    iov, total = read_iov(t, vec, count)
    return _read_at(t, file, iov, min(total, MAX_RW), offset)


@syscall(SYS_pwritev)
def sys_pwritev(k: "Kernel", t: "Task", fd: int, vec: int, count: int, low: int, high: int) -> int:
    """pwritev(2)."""
    offset = position(low)
    file = writable(t, fd)
    iov, total = read_iov(t, vec, count)
    return _write_at(t, file, iov, min(total, MAX_RW), offset)


@syscall(SYS_preadv2)
def sys_preadv2(k: "Kernel", t: "Task", fd: int, vec: int, count: int, low: int, high: int, flags: int) -> int:
    """preadv2(2): offset -1 is the file's own position."""
    if flags & ~_RWF_KNOWN:
        raise SysError(EOPNOTSUPP)
    if s64(low) == -1:
        return sys_readv(k, t, fd, vec, count)
    return sys_preadv(k, t, fd, vec, count, low, high)


@syscall(SYS_pwritev2)
def sys_pwritev2(k: "Kernel", t: "Task", fd: int, vec: int, count: int, low: int, high: int, flags: int) -> int:
    """pwritev2(2): offset -1 is the file's own position, which RWF_APPEND moves to the end first."""
    if flags & ~_RWF_KNOWN:
        raise SysError(EOPNOTSUPP)
    if flags & RWF_APPEND:
        file = writable(t, fd)
        iov, total = read_iov(t, vec, count)
        if s64(low) == -1:
            file.pos = file.inode.size()
            return write_file(t, file, iov, min(total, MAX_RW))
        return _write_at(t, file, iov, min(total, MAX_RW), file.inode.size())
    if s64(low) == -1:
        return sys_writev(k, t, fd, vec, count)
    return sys_pwritev(k, t, fd, vec, count, low, high)
