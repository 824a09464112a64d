"""From file to file without user memory: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).

Bytes are copied; what vmsplice(2) is given may be reused at once.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import DirectoryOpen, File, RegularOpen, SeekableFile
from mini_kernel.fs.pipe import PipeFile
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import file_of, gather, read_iov
from mini_kernel.syscalls.io import MAX_RW, position, readable, writable, write_file
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import EAGAIN, EBADF, EINVAL, EISDIR, EOVERFLOW, EPIPE, ESPIPE
from mini_kernel.uapi.fcntl import (
    O_APPEND,
    O_NONBLOCK,
    SPLICE_F_GIFT,
    SPLICE_F_MORE,
    SPLICE_F_MOVE,
    SPLICE_F_NONBLOCK,
)
from mini_kernel.uapi.numbers import SYS_copy_file_range, SYS_sendfile, SYS_splice, SYS_tee, SYS_vmsplice
from mini_kernel.uapi.signal import SIGPIPE
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_PIECE: Final = 1 << 20  # bytes moved at a time
_U64: Final = (1 << 64) - 1
_KNOWN: Final = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT


def _read_position(t: "Task", pointer: int, file: File) -> int:
    """Where to begin: what `pointer` points to, or the file's own position. Raises SysError EFAULT, EINVAL."""
    return position(uaccess.read_u64(t.mm, pointer)) if pointer else file.pos


def _write_position(t: "Task", pointer: int, file: File, at: int) -> None:
    if pointer:
        uaccess.write_u64(t.mm, pointer, at)
    else:
        file.pos = at


def _copy(source: SeekableFile, offset: int, n: int) -> memoryview:
    """Up to `n` bytes of a file that has positions."""
    buffer = memoryview(bytearray(n))
    return buffer[: source.read_at([buffer], offset)]


def _transfer(t: "Task", source: SeekableFile, target: File, offset: int, count: int) -> int:
    """Move up to `count` bytes from `offset` of a file to where `target` stands; how many."""
    done = 0
    try:
        while done < count:
            n = source.readable_at(min(count - done, _PIECE), offset + done)
            n = target.may_write(n) if n else 0
            if not n:
                break
            data = _copy(source, offset + done, n)
            taken = len(data) if target.sink else target.write_from([data])
            done += taken
            if taken < n:
                break
    except Block:
        if not done:
            raise
    except SysError as error:
        if error.errno == EPIPE:
            t.send_signal(SIGPIPE)
        if not done:
            raise
    return done


@syscall(SYS_sendfile)
def sys_sendfile(k: "Kernel", t: "Task", out_fd: int, in_fd: int, offset: int, count: int) -> int:
    """sendfile(2) from a file with positions; `offset` points to that to use, or is NULL for the file's own."""
    source, target = readable(t, in_fd), writable(t, out_fd)
    if not isinstance(source, SeekableFile):
        raise SysError(ESPIPE if offset else EINVAL)
    if target.flags & O_APPEND:
        raise SysError(EINVAL)
    start = _read_position(t, offset, source)
    done = _transfer(t, source, target, start, min(count, MAX_RW))
    _write_position(t, offset, source, start + done)
    return done


@syscall(SYS_copy_file_range)
def sys_copy_file_range(
    k: "Kernel", t: "Task", in_fd: int, in_offset: int, out_fd: int, out_offset: int, count: int, flags: int
) -> int:
    """copy_file_range(2) between regular files; the offsets point to positions or are NULL."""
    source, target = readable(t, in_fd), writable(t, out_fd)
    if not isinstance(source, RegularOpen) or not isinstance(target, RegularOpen):
        raise SysError(EISDIR if isinstance(source, DirectoryOpen) or isinstance(target, DirectoryOpen) else EINVAL)
    if flags:
        raise SysError(EINVAL)
    if target.flags & O_APPEND:
        raise SysError(EBADF)
    pointers = (in_offset, source), (out_offset, target)
    start, to = (uaccess.read_u64(t.mm, pointer) if pointer else file.pos for pointer, file in pointers)
    if max(start, to) + count > _U64:
        raise SysError(EOVERFLOW)
    start, to = position(start), position(to)
    count = source.readable_at(min(count, MAX_RW), start)
    if source.inode is target.inode and start < to + count and to < start + count:
        raise SysError(EINVAL)
    done = 0
    while done < count:
        data = _copy(source, start + done, min(count - done, _PIECE))
        taken = target.write_at([data], to + done)
        done += taken
        if taken < len(data):
            break
    _write_position(t, in_offset, source, start + done)
    _write_position(t, out_offset, target, to + done)
    return done


# -- pipes ----------------------------------------------------------------------------------------------


def _splice_flags(flags: int) -> int:
    flags = u32(flags)
    if flags & ~_KNOWN:
        raise SysError(EINVAL)
    return flags


def _room(file: PipeFile, n: int, nonblock: bool) -> int:
    """How many of `n` bytes go into a pipe now: any number counts as progress. Raises Block, EAGAIN or EPIPE."""
    pipe = file.pipe
    if not pipe.readers:
        raise SysError(EPIPE)
    free = pipe.capacity - len(pipe.buffer)
    if free > 0:
        return min(n, free)
    if nonblock or file.flags & O_NONBLOCK:
        raise SysError(EAGAIN)
    raise Block(pipe.write_queue)


def _available(file: File, n: int, nonblock: bool) -> int:
    """`may_read` that does not wait if `nonblock`."""
    try:
        return file.may_read(n)
    except Block:
        if nonblock:
            raise SysError(EAGAIN) from None
        raise


def _take(file: File, n: int) -> memoryview:
    buffer = memoryview(bytearray(n))
    return buffer[: file.read_into([buffer])]


def _into_pipe(t: "Task", source: File, target: PipeFile, pointer: int, count: int, nonblock: bool) -> int:
    """From a file to a pipe."""
    if pointer and not isinstance(source, SeekableFile):
        raise SysError(EINVAL)
    count = _room(target, count, nonblock)
    if not isinstance(source, SeekableFile):
        n = _available(source, count, nonblock)
        return target.write_from([_take(source, n)]) if n else 0
    start = _read_position(t, pointer, source)
    n = source.readable_at(count, start)
    done = target.write_from([_copy(source, start, n)]) if n else 0
    _write_position(t, pointer, source, start + done)
    return done


def _out_of_pipe(t: "Task", source: PipeFile, target: File, pointer: int, count: int, nonblock: bool) -> int:
    """From a pipe to a file."""
    if target.flags & O_APPEND or (pointer and not isinstance(target, SeekableFile)):
        raise SysError(EINVAL)
    n = _available(source, count, nonblock)
    if not n:
        return 0
    if not isinstance(target, SeekableFile):
        return target.write_from([_take(source, target.may_write(n))])
    start = _read_position(t, pointer, target)
    data = memoryview(source.pipe.buffer[:n])
    done = n if target.sink else target.write_at([data], start)  # may raise: nothing is taken before
    data.release()
    _take(source, done)
    _write_position(t, pointer, target, start + done)
    return done


@syscall(SYS_splice)
def sys_splice(
    k: "Kernel", t: "Task", in_fd: int, in_offset: int, out_fd: int, out_offset: int, count: int, flags: int
) -> int:
    """splice(2): one of the two is a pipe, which has no positions."""
    nonblock = bool(_splice_flags(flags) & SPLICE_F_NONBLOCK)
    if not count:
        return 0
    source, target = readable(t, in_fd), writable(t, out_fd)
    count = min(count, MAX_RW)
    pipes = isinstance(source, PipeFile), isinstance(target, PipeFile)
    if (pipes[0] and in_offset) or (pipes[1] and out_offset):
        raise SysError(ESPIPE)
    try:
        if isinstance(target, PipeFile):
            if isinstance(source, PipeFile) and source.pipe is target.pipe:
                raise SysError(EINVAL)
            return _into_pipe(t, source, target, in_offset, count, nonblock)
        if isinstance(source, PipeFile):
            return _out_of_pipe(t, source, target, out_offset, count, nonblock)
    except SysError as error:
        if error.errno == EPIPE:
            t.send_signal(SIGPIPE)
        raise
    raise SysError(EINVAL)


@syscall(SYS_tee)
def sys_tee(k: "Kernel", t: "Task", in_fd: int, out_fd: int, count: int, flags: int) -> int:
    """tee(2): what is in one pipe goes into another one, too."""
    nonblock = bool(_splice_flags(flags) & SPLICE_F_NONBLOCK)
    if not count:
        return 0
    source, target = readable(t, in_fd), writable(t, out_fd)
    if not isinstance(source, PipeFile) or not isinstance(target, PipeFile) or source.pipe is target.pipe:
        raise SysError(EINVAL)
    n = _available(source, min(count, MAX_RW), nonblock)
    if not n:
        return 0
    try:
        n = _room(target, n, nonblock)
    except SysError as error:
        if error.errno == EPIPE:
            t.send_signal(SIGPIPE)
        raise
    return target.write_from([memoryview(source.pipe.buffer[:n])])


@syscall(SYS_vmsplice)
def sys_vmsplice(k: "Kernel", t: "Task", fd: int, vec: int, count: int, flags: int) -> int:
    """vmsplice(2): user memory into a pipe's write end, or out of its read end."""
    nonblock = bool(_splice_flags(flags) & SPLICE_F_NONBLOCK)
    file = file_of(t, fd)
    if not file.can_read and not file.can_write:
        raise SysError(EBADF)
    iov, total = read_iov(t, vec, count)
    total = min(total, MAX_RW)
    if not total:
        return 0
    if not isinstance(file, PipeFile):
        raise SysError(EBADF)
    if not file.can_write:
        n = _available(file, total, nonblock)
        return file.read_into(gather(t.mm, iov, 0, n, True)) if n else 0
    if nonblock:
        total = _room(file, total, nonblock)
    return write_file(t, file, iov, total)
