"""Arguments that name files: strings, descriptors, directory descriptors, and runs of user memory."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, PathFile
from mini_kernel.fs.inode import Directory, Inode
from mini_kernel.fs.path import walk
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32
from mini_kernel.uapi.errno import EBADF, EINVAL, ENOENT, ENOTDIR
from mini_kernel.uapi.fcntl import AT_EMPTY_PATH, AT_FDCWD, IOV_MAX, PATH_MAX, RESOLVE_IN_ROOT
from mini_kernel.uapi.structs import unpack_iovecs
from mini_kernel.x86 import PAGE_SIZE, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.mm.mm import Mm
    from mini_kernel.task import Task

Iov = list[tuple[int, int]]  # (address, length) of each buffer


def read_path(t: "Task", address: int) -> bytes:
    """A path from user memory. Raises SysError EFAULT, ENAMETOOLONG."""
    return uaccess.read_cstr(t.mm, address, PATH_MAX)


def file_of(t: "Task", fd: int) -> File:
    """The open file of a descriptor for anything but naming a place. Raises SysError(EBADF), for O_PATH too."""
    file = t.files.get(fd)
    if isinstance(file, PathFile):
        raise SysError(EBADF)
    return file


def install_pair(t: "Task", one: File, other: File, cloexec: bool, address: int) -> None:
    """Give two new open files descriptors, and store both at `address` as int[2].

    Takes over their references. Raises SysError EMFILE, ENOMEM, EFAULT, and then neither descriptor exists.
    """
    try:
        first = t.files.install(one, cloexec)
    except SysError:
        other.put()
        raise
    try:
        second = t.files.install(other, cloexec)
    except SysError:
        t.files.close(first)
        raise
    try:
        uaccess.write(t.mm, address, first.to_bytes(4, "little") + second.to_bytes(4, "little"))
    except SysError:
        t.files.close(first)
        t.files.close(second)
        raise


def base_of(t: "Task", dirfd: int, path: bytes, resolve: int = 0) -> Directory | None:
    """Where a walk of `path` begins: the directory behind `dirfd`, None for the working directory or the root.

    Raises SysError ENOENT for an empty path, EBADF, ENOTDIR.
    """
    if not path:
        raise SysError(ENOENT)
    if s32(dirfd) == AT_FDCWD or (path[:1] == b"/" and not resolve & RESOLVE_IN_ROOT):
        return None
    inode = t.files.get(dirfd).inode
    if not isinstance(inode, Directory):
        raise SysError(ENOTDIR)
    return inode


def inode_at(t: "Task", dirfd: int, address: int, follow: bool, flags: int = 0) -> Inode:
    """The inode that `dirfd` and a path name; with AT_EMPTY_PATH and an empty path, that of `dirfd` itself.

    Raises SysError ENOENT, EBADF, EFAULT and what the walk raises.
    """
    path = read_path(t, address) if address or not flags & AT_EMPTY_PATH else b""
    if not path and flags & AT_EMPTY_PATH:
        return t.fs.cwd if s32(dirfd) == AT_FDCWD else t.files.get(dirfd).inode
    inode = walk(t, path, base_of(t, dirfd, path), follow).inode
    if inode is None:
        raise SysError(ENOENT)
    return inode


def read_iov(t: "Task", address: int, count: int) -> tuple[Iov, int]:
    """An iovec array and its total length. Raises SysError EINVAL (too many, or a length below 0), EFAULT."""
    if count > IOV_MAX:
        raise SysError(EINVAL)
    iov = unpack_iovecs(uaccess.read(t.mm, address, 16 * count)) if count else []
    if any(length >> 63 for _base, length in iov):
        raise SysError(EINVAL)
    return iov, sum(length for _base, length in iov)


def gather(mm: "Mm", iov: Iov, skip: int, n: int, write: bool) -> list[memoryview]:
    """The RAM behind bytes [skip, skip + n) of the buffers, as far as it is accessible.

    Precondition: n > 0 bytes are there. Raises SysError(EFAULT) if not even the first is accessible.
    """
    base = iov[0][0] + skip
    if len(iov) == 1 and 0 < n <= PAGE_SIZE - (base & (PAGE_SIZE - 1)) and base < TASK_SIZE:
        physical = uaccess.translate(mm, base, write, n)  # the usual case, one page, without the generator
        return [mm.frames.ram.data[physical : physical + n]]
    views: list[memoryview] = []
    try:
        for base, length in iov:
            if skip >= length:
                skip -= length
                continue
            length = min(length - skip, n)
            if not length:
                break
            for view in uaccess.chunks(mm, base + skip, length, write):
                views.append(view)  # one by one: those before a bad page count
            n -= length
            skip = 0
    except SysError:
        if not views:
            raise
    return views
