"""A directory of the host as a tree of the guest: read-only there, changes stay in memory.

Directories are listed and files read when they are first needed; a page that was read or written lives in the page
cache from then on. Links of the host are links of the guest, so they never lead out of the tree: every step to a
host file is opened without following links. No host descriptor is kept, only names.
"""

import os
import stat
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Directory, Inode, RegularFile, SuperBlock, Symlink
from mini_kernel.fs.pipe import Fifo
from mini_kernel.uapi.errno import EACCES, EIO, EPERM
from mini_kernel.x86 import PAGE_SHIFT

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

HostPath = tuple[str, tuple[bytes, ...]]  # the root as the operator named it, and the names below it


def open_beneath(path: HostPath, flags: int) -> int:
    """A host descriptor of a file of the tree, no link followed below the root. Raises OSError. Caller closes."""
    root, names = path
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for position, name in enumerate(names):
        last = position == len(names) - 1
        try:
            step = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC if last else _STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = step
    if not names:
        try:
            return os.open(root, flags | os.O_CLOEXEC)
        finally:
            os.close(fd)
    return fd


def _refused(error: OSError) -> SysError:
    """What the guest sees when the host refuses."""
    return SysError(EACCES if error.errno in (EACCES, EPERM) else EIO)


class HostSource:
    """The content of a host file, as a page cache wants it."""

    def __init__(self, path: HostPath, size: int) -> None:
        self.path = path
        self.size = size

    def read_page(self, index: int, out: memoryview) -> None:
        """Fill whole pages from page `index` on. Raises SysError EACCES or EIO."""
        try:
            fd = open_beneath(self.path, os.O_RDONLY)
        except OSError as error:
            raise _refused(error) from None
        try:
            done, offset = 0, index << PAGE_SHIFT
            while done < len(out):
                got = os.preadv(fd, [out[done:]], offset + done)
                if not got:
                    break
                done += got
        except OSError as error:
            raise _refused(error) from None
        finally:
            os.close(fd)


class HostDirectory(Directory):
    """A directory whose names come from the host, each turned into an inode when it is first looked at."""

    def __init__(self, sb: SuperBlock, path: HostPath, parent: Directory | None = None) -> None:
        super().__init__(sb, 0o755, parent=parent)
        self.path = path
        self.pending: set[bytes] | None = None  # names of the host not looked at yet; None before the first listing

    def _names(self) -> set[bytes]:
        if self.pending is None:
            try:
                fd = open_beneath(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise _refused(error) from None
            try:
                self.pending = {os.fsencode(name) for name in os.listdir(fd)}
            finally:
                os.close(fd)
        return self.pending

    def _materialize(self, name: bytes) -> Inode | None:
        """The inode of a host file, entered under `name`; None for what is not served (sockets, devices)."""
        pending = self._names()
        if name not in pending:
            return None
        pending.discard(name)
        path = (self.path[0], (*self.path[1], name))
        try:
            fd = open_beneath(self.path, os.O_PATH | os.O_DIRECTORY)
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(info.st_mode) else b""
            finally:
                os.close(fd)
        except OSError:
            return None
        inode = _inode_for(self.sb, path, info, target)
        if inode is not None:
            _copy_attributes(inode, info)
            times = self.mtime, self.ctime
            self.add(name, inode)
            self.mtime, self.ctime = times
        return inode

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        inode = self.nodes.get(name)
        return self._materialize(name) if inode is None else inode

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        for name in sorted(self._names()):
            self._materialize(name)
        return list(self.nodes.items())

    def is_empty(self) -> bool:
        for name in sorted(self._names()):
            self._materialize(name)
        return not self.nodes


def _inode_for(sb: SuperBlock, path: HostPath, info: os.stat_result, target: bytes) -> Inode | None:
    if stat.S_ISDIR(info.st_mode):
        return HostDirectory(sb, path)
    if stat.S_ISREG(info.st_mode):
        return RegularFile(sb, 0, source=HostSource(path, info.st_size))
    if stat.S_ISLNK(info.st_mode):
        return Symlink(sb, target)
    if stat.S_ISFIFO(info.st_mode):
        return Fifo(sb, 0)
    return None


def _copy_attributes(inode: Inode, info: os.stat_result) -> None:
    inode.mode = inode.kind | stat.S_IMODE(info.st_mode)
    inode.uid, inode.gid = info.st_uid, info.st_gid
    inode.atime, inode.mtime, inode.ctime = info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns


def host_root(sb: SuperBlock, root: str) -> HostDirectory:
    """The directory that serves host directory `root`. Raises OSError if it cannot be listed."""
    info = os.stat(root)
    with os.scandir(root):
        pass
    directory = HostDirectory(sb, (os.path.abspath(root), ()))
    _copy_attributes(directory, info)
    return directory
