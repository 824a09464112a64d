"""A directory of the host as a tree of the guest.

Directories are listed and files read when they are first needed; a page that was read lives in the page cache from
then on, and what the host changes later is not seen. Links of the host are links of the guest, so they never lead out.

Read-only (`--root`): all changes stay in memory. Writable (`--root-writable`): whatever changes a file, a name or an
attribute is done on the host first, and in memory if the host did it. Stores through shared mappings reach the host
with msync(2), fsync(2) and when the last user of the open file is gone. Restoring a snapshot takes nothing on the host
back: files that were written stay so, and the guest sees what it had seen, where that is in its memory.
"""

import os
import stat
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import Views
from mini_kernel.fs.hosttree import HostTree, Names
from mini_kernel.fs.inode import Directory, Inode, RegularFile, SuperBlock, Symlink
from mini_kernel.fs.pipe import Fifo
from mini_kernel.uapi.errno import EINVAL, ENOENT, EXDEV
from mini_kernel.uapi.fcntl import S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG
from mini_kernel.x86 import PAGE_SHIFT

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

_SERVED: Final = (S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO)
_ZEROS: Final = memoryview(bytes(1 << 16))


class Backing:
    """The host's file behind an inode of a writable tree, by the names it has there."""

    def __init__(self, tree: HostTree, inode: Inode, place: "tuple[HostDirectory, bytes]") -> None:
        self.tree = tree
        self.inode = inode
        self.places = [place]  # where it is found; the first counts
        self.kept: int | None = None  # instead, once it has no name
        self.mapped = False  # a mapping may have stored what the host has not seen

    def names(self) -> Names:
        """The way to it. Raises SysError(ENOENT) if nobody knows one."""
        if self.kept is not None:
            return ()
        if not self.places:
            raise SysError(ENOENT)
        directory, name = self.places[0]
        return (*directory.names(), name)

    # -- content ------------------------------------------------------------------------------------

    def write(self, views: Views, offset: int) -> int:
        """Store on the host; how many bytes it took."""
        return self.tree.write(self.names(), self.kept, views, offset)

    def zero(self, start: int, end: int) -> None:
        """Store zeros."""
        while start < end:
            start += self.write([_ZEROS[: end - start]], start)

    def truncate(self, size: int) -> None:
        """Set the length."""
        self.tree.truncate(self.names(), self.kept, size)

    def write_back(self, sync: bool) -> None:
        """Store what mappings may have changed; `sync`: and see it to the disk."""
        inode = self.inode
        if not isinstance(inode, RegularFile):
            return
        if self.mapped:
            cache = inode.cache
            for index in sorted(cache.pages):
                offset = index << PAGE_SHIFT
                if offset < cache.size:
                    self.write([memoryview(cache.read(offset, 1 << PAGE_SHIFT))], offset)
            self.mapped = any(cache.mappings)
        if sync:
            self.tree.sync(self.names(), self.kept)

    # -- attributes ---------------------------------------------------------------------------------

    def chmod(self, mode: int) -> None:
        """`mode` with the type."""
        if self.kept is None:
            self.tree.chmod(self.names(), mode)

    def chown(self, uid: int, gid: int) -> None:
        """-1 leaves one."""
        if self.kept is None:
            self.tree.chown(self.names(), uid, gid)

    def set_times(self, atime: int, mtime: int) -> None:
        """In nanoseconds."""
        if self.kept is None:
            self.tree.set_times(self.names(), atime, mtime)

    # -- names --------------------------------------------------------------------------------------

    def forget(self, directory: "HostDirectory", name: bytes) -> None:
        """It has this name no more."""
        self.places = [place for place in self.places if place[0] is not directory or place[1] != name]

    def gone(self) -> None:
        """Nobody can reach the inode any more."""
        if self.kept is not None:
            self.tree.let_go(self.kept)
            self.kept = None


class RootBacking(Backing):
    """That of the root, which has no name."""

    def names(self) -> Names:
        return ()


class HostSource:
    """The content of a host file, as a page cache wants it."""

    def __init__(self, tree: HostTree, names: Names, size: int) -> None:
        self.tree = tree
        self.names = names
        self.size = size

    def read_page(self, index: int, out: memoryview) -> None:
        """Fill whole pages from page `index` on. Raises SysError EACCES or EIO."""
        self.tree.read_pages(self.names, None, index, out)


class BackingSource:
    """The same where the file may be renamed or lose its name."""

    def __init__(self, backing: Backing, size: int) -> None:
        self.backing = backing
        self.size = size

    def read_page(self, index: int, out: memoryview) -> None:
        """Fill whole pages from page `index` on. Raises SysError EACCES or EIO."""
        self.backing.tree.read_pages(self.backing.names(), self.backing.kept, index, out)


Links = dict[tuple[int, int], Inode]  # (st_dev, st_ino) -> inode, of host files with several names


class HostDirectory(Directory):
    """A directory whose names come from the host, each turned into an inode when it is first looked at."""

    def __init__(self, sb: SuperBlock, tree: HostTree, path: Names, links: Links) -> None:
        super().__init__(sb, 0o755)
        self.tree = tree
        self.path = path  # where it was on the host at first: there it stays if the tree is read-only
        self.links = links
        self.pending: set[bytes] | None = None  # names of the host not looked at yet; None before the first listing

    def names(self) -> Names:
        """Where it is on the host now."""
        return self.backing.names() if isinstance(self.backing, Backing) else self.path

    # -- looking ------------------------------------------------------------------------------------

    def _names(self) -> set[bytes]:
        if self.pending is None:
            self.pending = set(self.tree.listing(self.names()))
        return self.pending

    def _materialize(self, name: bytes) -> Inode | None:
        """The inode of a host file, entered under `name`; None for what is not served (sockets, devices)."""
        pending = self._names()
        if name not in pending:
            return None
        pending.discard(name)
        try:
            info, target = self.tree.look((*self.names(), name))
        except SysError:
            return None
        inode = self.links.get((info.st_dev, info.st_ino)) if info.st_nlink > 1 else None
        if inode is None:
            inode = self._new_inode(name, info, target)
        elif isinstance(inode.backing, Backing):
            inode.backing.places.append((self, name))
        if inode is not None:
            self.nodes[name] = inode
            inode.home, inode.name = self, name
        return inode

    def _new_inode(self, name: bytes, info: os.stat_result, target: bytes) -> Inode | None:
        inode = self._inode_for(name, info, target)
        if inode is None:
            return None
        _copy_attributes(inode, info)
        if isinstance(inode, Directory):
            inode.parent = self
            self.nlink += not self.counted
        elif info.st_nlink > 1:
            self.links[info.st_dev, info.st_ino] = inode
        return inode

    def _inode_for(self, name: bytes, info: os.stat_result, target: bytes) -> Inode | None:
        path, sb = (*self.path, name), self.sb
        if stat.S_ISDIR(info.st_mode):
            inode: Inode = HostDirectory(sb, self.tree, path, self.links)
        elif stat.S_ISREG(info.st_mode):
            inode = RegularFile(sb, 0, source=HostSource(self.tree, path, info.st_size))
        elif stat.S_ISLNK(info.st_mode):
            inode = Symlink(sb, target)
        elif stat.S_ISFIFO(info.st_mode):
            inode = Fifo(sb, 0)
        else:
            return None
        if self.tree.writable:
            self._back(name, inode)
        return inode

    def _back(self, name: bytes, inode: Inode) -> None:
        """From now on changes of this inode are changes of the host's file of this name."""
        inode.backing = backing = Backing(self.tree, inode, (self, name))
        if isinstance(inode, RegularFile):
            inode.cache.follow_source(BackingSource(backing, inode.cache.size))

    @property
    def counted(self) -> bool:
        """True if `nlink` came from the host, with all directories inside: some file systems do not count."""
        return self.host_nlink > 1

    host_nlink = 0

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        inode = self.nodes.get(name)
        return self._materialize(name) if inode is None else inode

    def _all(self) -> None:
        for name in sorted(self._names()):
            self._materialize(name)

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        self._all()
        return list(self.nodes.items())

    def is_empty(self) -> bool:
        self._all()
        return not self.nodes

    # -- changing -----------------------------------------------------------------------------------

    def subdirectory(self, mode: int) -> Directory:
        if not self.tree.writable:
            return super().subdirectory(mode)
        made = HostDirectory(self.sb, self.tree, (), self.links)
        made.mode = made.kind | mode
        made.pending = set()
        return made

    def create(self, name: bytes, inode: Inode) -> None:
        if not self.tree.writable or inode.kind not in _SERVED:
            return
        target = inode.target if isinstance(inode, Symlink) else b""
        names = (*self.names(), name)
        self.tree.make(names, inode.mode, target, (inode.uid, inode.gid))
        if isinstance(inode, RegularFile) and inode.cache.size:  # made without a name, and written
            self.tree.write(names, None, [memoryview(inode.cache.read(0, inode.cache.size))], 0)
        self._back(name, inode)

    def link(self, name: bytes, inode: Inode) -> None:
        backing = inode.backing
        if not isinstance(backing, Backing):
            self.create(name, inode)
            return
        self.tree.link(backing.names(), (*self.names(), name))
        backing.places.append((self, name))

    def drop(self, name: bytes, inode: Inode) -> None:
        backing = inode.backing
        if not isinstance(backing, Backing):
            return
        last = inode.nlink == 1 and isinstance(inode, RegularFile)
        kept = self.tree.keep((*self.names(), name)) if last and inode.users else None
        self.tree.remove((*self.names(), name), isinstance(inode, Directory))
        backing.forget(self, name)
        backing.kept = kept

    def move(self, name: bytes, inode: Inode, target: Directory, new: bytes, replaced: Inode | None) -> None:
        backing = inode.backing
        if not isinstance(backing, Backing):
            if replaced is not None:
                target.drop(new, replaced)
            return
        if not isinstance(target, HostDirectory) or not target.tree.writable:
            raise SysError(EXDEV)
        other = replaced.backing if replaced is not None else None
        kept = None
        if isinstance(other, Backing) and replaced is not None:
            last = replaced.nlink == 1 and isinstance(replaced, RegularFile)
            kept = self.tree.keep((*target.names(), new)) if last and replaced.users else None
        self.tree.rename((*self.names(), name), (*target.names(), new))
        if isinstance(other, Backing):
            other.forget(target, new)
            other.kept = kept
        backing.forget(self, name)
        backing.places.insert(0, (target, new))

    def exchange(self, inode: Inode, other: Inode) -> None:
        if inode.backing is not None or other.backing is not None:
            raise SysError(EINVAL)


def _copy_attributes(inode: Inode, info: os.stat_result) -> None:
    inode.mode = inode.kind | stat.S_IMODE(info.st_mode)
    inode.uid, inode.gid = info.st_uid, info.st_gid
    inode.atime, inode.mtime, inode.ctime = info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns
    inode.btime = min(inode.atime, inode.mtime, inode.ctime)
    if isinstance(inode, HostDirectory):
        inode.host_nlink = info.st_nlink
        inode.nlink = max(2, info.st_nlink)
    else:
        inode.nlink = info.st_nlink


def host_root(sb: SuperBlock, tree: HostTree) -> HostDirectory:
    """The directory that serves a host directory. Raises SysError if it cannot be looked at."""
    directory = HostDirectory(sb, tree, (), {})
    _copy_attributes(directory, tree.look(())[0])
    if tree.writable:
        directory.backing = RootBacking(tree, directory, (directory, b""))
    return directory
