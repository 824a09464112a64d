"""A directory of the host, and what is asked of it: the only place where guest file names meet the host's system calls.

Every step to a file is made from the descriptor of the directory above it and follows no link, so nothing below the
root, whatever it is turned into meanwhile, leads out of it. A HostTree is a *handle*, like RAM and CPU: it holds no
kernel state and is left out of snapshots.
"""

import os
import stat
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from mini_kernel.errors import SysError
from mini_kernel.uapi.errno import (
    EACCES,
    EDQUOT,
    EEXIST,
    EFBIG,
    EIO,
    EISDIR,
    EMLINK,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    EROFS,
    EXDEV,
)
from mini_kernel.x86 import PAGE_SHIFT

Names = tuple[bytes, ...]  # of a file below the root

_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # if it became a FIFO: do not wait
_MOST_OPEN: Final = 16  # files whose descriptors are kept, because the next access is often to the same
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_PIECE: Final = 1 << 20
#: Refusals the guest is told as they are. Others are its EIO.
_TOLD: Final = frozenset((
    EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, EMLINK, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EPERM, EROFS,
    EXDEV,
))  # fmt: skip


@contextmanager
def _refusals() -> Generator[None]:
    """The host's errors as the guest's."""
    try:
        yield
    except OSError as error:
        raise SysError(error.errno if error.errno in _TOLD else EIO) from None


def _close_all(descriptors: dict[Any, int]) -> None:
    for fd in descriptors.values():
        os.close(fd)
    descriptors.clear()


class HostTree:
    """A host directory. Methods raise SysError where the host refuses."""

    def __init__(self, root: str, writable: bool = False) -> None:
        """Raises OSError if `root` is no directory that can be listed."""
        with os.scandir(root):
            pass
        self.writable = writable
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[Names, int] = {}  # descriptors of files by their names
        self._kept: dict[int, int] = {}  # of files without a name, by a number
        self._last_kept = 0
        weakref.finalize(self, os.close, self._root)
        weakref.finalize(self, _close_all, self._open)
        weakref.finalize(self, _close_all, self._kept)

    # -- the way to a file --------------------------------------------------------------------------

    @contextmanager
    def _parent(self, names: Names) -> Generator[tuple[int, bytes]]:
        """A descriptor (O_PATH) of the directory a file is in, and its name there. Raises OSError."""
        fd = os.dup(self._root)
        try:
            for name in names[:-1]:
                step = os.open(name, _STEP, dir_fd=fd)
                os.close(fd)
                fd = step
            yield fd, names[-1] if names else b"."
        finally:
            os.close(fd)

    def _file(self, names: Names, kept: int | None) -> int:
        """A descriptor of a regular file, which stays ours. Raises OSError, EIO if it is something else by now."""
        if kept is not None:
            fd = self._kept.get(kept)
            if fd is None:
                raise OSError(EIO, "the file had no name any more when the system was put back")
            return fd
        fd = self._open.get(names)
        if fd is None:
            fd = self._open[names] = self._open_file(names)
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
        return fd

    def _open_file(self, names: Names) -> int:
        with self._parent(names) as (directory, name):
            try:
                fd = os.open(name, (os.O_RDWR if self.writable else os.O_RDONLY) | _FILE, dir_fd=directory)
            except OSError as error:
                if not self.writable or error.errno not in (EACCES, EPERM, EROFS):
                    raise
                fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(EIO, "no regular file any more")
        return fd

    def _renamed(self) -> None:
        """Names changed: descriptors kept by name may be another file's."""
        _close_all(self._open)

    # -- looking ------------------------------------------------------------------------------------

    def listing(self, names: Names) -> list[bytes]:
        """What is in a directory."""
        with _refusals():
            with self._parent(names) as (directory, name):
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                return [os.fsencode(name) for name in os.listdir(fd)]
            finally:
                os.close(fd)

    def look(self, names: Names) -> tuple[os.stat_result, bytes]:
        """What lstat(2) says about a file, and a link's target."""
        with _refusals(), self._parent(names) as (directory, name):
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(info.st_mode) else b""
        return info, target

    def read_pages(self, names: Names, kept: int | None, index: int, out: memoryview) -> None:
        """Fill `out`, zeroed, with the content of a file from page `index` on, as far as there is any."""
        with _refusals():
            fd = self._file(names, kept)
            done, offset = 0, index << PAGE_SHIFT
            while done < len(out):
                got = os.preadv(fd, [out[done:]], offset + done)
                if not got:
                    break
                done += got

    # -- content ------------------------------------------------------------------------------------

    def write(self, names: Names, kept: int | None, views: Sequence[memoryview], offset: int) -> int:
        """pwritev(2); the number of bytes."""
        with _refusals():
            fd = self._file(names, kept)
            done = 0
            for view in views:
                at = 0
                while at < len(view):
                    try:
                        at += os.pwrite(fd, view[at : at + _PIECE], offset + done + at)
                    except OSError:
                        if done + at:
                            return done + at
                        raise
                done += at
            return done

    def truncate(self, names: Names, kept: int | None, size: int) -> None:
        """ftruncate(2)."""
        with _refusals():
            os.ftruncate(self._file(names, kept), size)

    def sync(self, names: Names, kept: int | None) -> None:
        """fsync(2)."""
        with _refusals():
            os.fsync(self._file(names, kept))

    # -- names --------------------------------------------------------------------------------------

    def make(self, names: Names, mode: int, target: bytes, owner: tuple[int, int]) -> None:
        """Make a file, directory, link to `target` or FIFO, as the type in `mode` says. Raises EPERM for others.

        It belongs to `owner` if the host lets us choose.
        """
        kind, bits = stat.S_IFMT(mode), mode & 0o1777
        with _refusals(), self._parent(names) as (directory, name):
            if kind == stat.S_IFREG:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _FILE, bits, dir_fd=directory))
            elif kind == stat.S_IFDIR:
                os.mkdir(name, bits, dir_fd=directory)
            elif kind == stat.S_IFLNK:
                os.symlink(target, name, dir_fd=directory)
            elif kind == stat.S_IFIFO:
                os.mkfifo(name, bits, dir_fd=directory)
            else:
                raise SysError(EPERM)
        if kind != stat.S_IFLNK:
            self.chmod(names, mode)  # the host's umask is not the guest's
        if os.geteuid() == 0:
            self.chown(names, *owner)

    def link(self, names: Names, new: Names) -> None:
        """link(2)."""
        with _refusals(), self._parent(names) as (source, old), self._parent(new) as (target, name):
            os.link(old, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def remove(self, names: Names, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""
        with _refusals(), self._parent(names) as (parent, name):
            (os.rmdir if directory else os.unlink)(name, dir_fd=parent)
        self._renamed()

    def rename(self, names: Names, new: Names) -> None:
        """rename(2)."""
        with _refusals(), self._parent(names) as (source, old), self._parent(new) as (target, name):
            os.rename(old, name, src_dir_fd=source, dst_dir_fd=target)
        self._renamed()

    def keep(self, names: Names) -> int:
        """A number under which a file can be reached that is about to lose its last name."""
        with _refusals():
            fd = os.dup(self._file(names, None))
        self._last_kept += 1
        self._kept[self._last_kept] = fd
        return self._last_kept

    def let_go(self, kept: int) -> None:
        """Nobody needs a kept file any more."""
        fd = self._kept.pop(kept, None)
        if fd is not None:
            os.close(fd)

    # -- attributes ---------------------------------------------------------------------------------

    def chmod(self, names: Names, mode: int) -> None:
        """chmod(2), but never set-id bits on a file: a guest is not to make programs that run as somebody."""
        bits = mode & 0o7777 if stat.S_ISDIR(mode) else mode & 0o7777 & ~_SET_ID
        with _refusals(), self._parent(names) as (directory, name):
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    os.chmod(f"/proc/self/fd/{fd}", bits)  # of that very file: fchmod(2) refuses O_PATH
            finally:
                os.close(fd)

    def chown(self, names: Names, uid: int, gid: int) -> None:
        """lchown(2)."""
        with _refusals(), self._parent(names) as (directory, name):
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)

    def set_times(self, names: Names, atime: int, mtime: int) -> None:
        """utimensat(2), in nanoseconds."""
        with _refusals(), self._parent(names) as (directory, name):
            os.utime(name, ns=(atime, mtime), dir_fd=directory, follow_symlinks=False)
