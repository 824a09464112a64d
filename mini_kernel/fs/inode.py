"""Inodes: what a name in a directory stands for, whether or not it is open (Linux struct inode).

Invariant: an inode lives while `nlink` > 0 (names) or `users` > 0 (open files, and mappings through them); when
both are 0 it gives its frames back, once.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import MAX_OFFSET, DirectoryOpen, File, PathFile, RegularOpen, Views
from mini_kernel.fs.locks import Locks
from mini_kernel.fs.notify import Watch, tell, tell_gone
from mini_kernel.fs.superblock import Behind, SuperBlock
from mini_kernel.mm.pagecache import PageCache, PageSource
from mini_kernel.mm.vma import VM_MAYWRITE, VM_SHARED
from mini_kernel.uapi.errno import EBUSY, EFBIG, EINVAL, EIO, ELOOP, ENXIO, EPERM, EXDEV
from mini_kernel.uapi.fcntl import (
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    O_NOATIME,
    O_PATH,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
    S_IXGRP,
)
from mini_kernel.uapi.inotify import IN_ACCESS, IN_ATTRIB, IN_MODIFY
from mini_kernel.uapi.misc import TMPFS_MAGIC
from mini_kernel.uapi.structs import Stat
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

SECTOR_SHIFT: Final = 9  # st_blocks counts 512 bytes
_NO_WRITING: Final = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE


class Inode:
    """A file of any kind. `mode` holds the type (S_IF*) and twelve permission bits; times are in ns."""

    kind: int = S_IFREG
    magic: int = TMPFS_MAGIC  # statfs(2) f_type
    locks: Locks | None = None  # made by the first one
    backing: Behind | None = None  # None: it is in memory only
    write_hint = 0  # RWH_* of fcntl(2)
    home: "Directory | None" = None  # where it is found by which name: of several, the newest or last opened
    name = b""
    watches: tuple[Watch, ...] = ()  # of inotify(7)
    xattrs: Mapping[bytes, bytes] = MappingProxyType({})  # replaced by each change

    def __init__(self, sb: SuperBlock, mode: int, uid: int = 0, gid: int = 0) -> None:
        self.sb = sb
        self.ino = sb.new_ino()
        self.mode = self.kind | (mode & 0o7777)
        self.uid = uid
        self.gid = gid
        self.nlink = 1
        self.users = 0
        self.linkable = False  # may get its first name later: made by O_TMPFILE
        self.rdev = 0
        self.atime = self.mtime = self.ctime = self.btime = sb.clock.real_ns()

    def size(self) -> int:
        """st_size."""
        return 0

    def blocks(self) -> int:
        """st_blocks."""
        return 0

    def stat(self) -> Stat:
        """What stat(2) tells."""
        return Stat(
            self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, self.size(), PAGE_SIZE, self.blocks(),
            self.atime, self.mtime, self.ctime, self.sb.device, self.btime,
        )  # fmt: skip

    def open(self, flags: int, path: bytes, caller: "Caller") -> File:
        """A new open file. `flags` are checked; may raise Block (a FIFO) or SysError (ENXIO: no such device)."""
        if flags & O_PATH:
            return PathFile(self, flags, path)
        return self.open_data(flags, path, caller)

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        """`open` for use, not for O_PATH; each kind of inode has its own."""
        raise SysError(EIO)

    # -- lifetime -----------------------------------------------------------------------------------

    def put(self) -> None:
        """An open file is gone."""
        self.users -= 1
        if not self.users and not self.nlink:
            self.evict()

    def unlinked(self) -> None:
        """A name is gone."""
        self.nlink -= 1
        self.changed()
        for watch in self.watches:
            watch.hear(IN_ATTRIB, 0, b"")
        if not self.nlink and not self.users:
            self.evict()

    def evict(self) -> None:
        """Nobody can reach it any more: give back what it holds."""
        if self.watches:
            tell_gone(self)
        if self.backing is not None:
            self.backing.gone()

    def tell(self, mask: int) -> None:
        """Whoever watches the inode, or the directory it is in, hears of this event (IN_*)."""
        if self.sb.primary.watches:
            tell(self, mask)

    def drop_locks(self, owner: object) -> None:
        """A descriptor table closed a descriptor of this inode, or an open file of it is gone: its locks go."""
        if self.locks is not None:
            self.locks.drop(owner)
            if self.locks.is_empty():
                self.locks = None

    # -- attributes ---------------------------------------------------------------------------------

    def changed(self) -> None:
        """Attributes changed: ctime."""
        self.ctime = self.sb.clock.real_ns()

    def accessed(self, flags: int = 0) -> None:
        """Content was read, through an open file with these flags: atime, unless it is newer than the last change.

        (The mount option `relatime`, which is Linux's default, but for its 24 hours.)
        """
        if (self.atime <= self.mtime or self.atime <= self.ctime) and not flags & O_NOATIME:
            self.atime = self.sb.clock.real_ns()

    def modified(self) -> None:
        """Content changed: mtime and ctime."""
        self.mtime = self.ctime = self.sb.clock.real_ns()

    def chmod(self, mode: int) -> None:
        """Replace the twelve permission bits."""
        mode = (self.mode & S_IFMT) | (mode & 0o7777)
        if self.backing is not None:
            self.backing.chmod(mode)
        self.mode = mode
        self.changed()
        self.tell(IN_ATTRIB)

    def chown(self, uid: int, gid: int) -> None:
        """Replace the owner and group; -1 leaves one. Clears the set-id bits of a file, as chown(2) says."""
        if self.backing is not None:
            self.backing.chown(uid, gid)
        self.uid = self.uid if uid == -1 else uid
        self.gid = self.gid if gid == -1 else gid
        if self.mode & S_IFMT != S_IFDIR:
            self.drop_set_id()
        self.changed()
        self.tell(IN_ATTRIB)

    def set_times(self, atime: int | None, mtime: int | None) -> None:
        """utimensat(2): in nanoseconds, None leaves one."""
        if atime is None and mtime is None:
            return
        times = self.atime if atime is None else atime, self.mtime if mtime is None else mtime
        if self.backing is not None:
            self.backing.set_times(*times)
        self.atime, self.mtime = times
        self.changed()
        self.tell(IN_ACCESS if mtime is None else IN_MODIFY if atime is None else IN_ATTRIB)

    def drop_set_id(self) -> None:
        """Clear the set-user-id bit, and set-group-id unless it means mandatory locking."""
        self.mode &= ~S_ISUID
        if self.mode & S_IXGRP:
            self.mode &= ~S_ISGID

    def truncate(self, size: int) -> None:
        """Set the length in bytes; SysError(EINVAL) for what has none."""
        raise SysError(EINVAL)


class RegularFile(Inode):
    """Bytes in a page cache. `seals` are the F_SEAL_* of memfd_create(2)."""

    def __init__(self, sb: SuperBlock, mode: int, uid: int = 0, gid: int = 0, source: PageSource | None = None) -> None:
        super().__init__(sb, mode, uid, gid)
        self.cache = PageCache(sb.frames, source, sb.quota if source is None else None)
        self.seals = F_SEAL_SEAL

    def size(self) -> int:
        return self.cache.size

    def blocks(self) -> int:
        untouched = (self.cache.source_end + PAGE_SIZE - 1) >> PAGE_SHIFT
        pages = len(self.cache.pages)
        if untouched:
            pages = untouched + sum(index >= untouched for index in self.cache.pages)
        return pages << (PAGE_SHIFT - SECTOR_SHIFT)

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return RegularOpen(self, flags, path)

    def evict(self) -> None:
        super().evict()
        self.cache.drop()

    def write(self, views: Views, offset: int) -> int:
        """Store `views` at `offset`; the number of bytes, short if memory runs out half-way.

        Raises SysError: ENOMEM at the first byte, EFBIG behind the largest offset, EPERM against a seal.
        """
        cache, start = self.cache, offset
        total = sum(map(len, views))
        if offset + total > MAX_OFFSET:
            raise SysError(EFBIG)
        if self.seals & (_NO_WRITING | F_SEAL_GROW):
            self._check_seals(offset + total)
        if self.backing is not None:
            views = _first(views, self.backing.write(views, offset))
        for view in views:
            try:
                done = cache.write(offset, view) if self.backing is None else cache.stored(offset, view)
            except SysError:
                if offset == start:
                    raise
                break
            offset += done
            if done < len(view):
                break
        self.modified()
        if self.mode & (S_ISUID | S_ISGID):
            self.drop_set_id()
        if self.sb.primary.watches:
            tell(self, IN_MODIFY)
        return offset - start

    def _check_seals(self, end: int) -> None:
        if not self.writable():
            raise SysError(EPERM)
        self.check_growth(end)

    def writable(self) -> bool:
        """False if a seal keeps the content from being changed by anything but mappings made before."""
        return not self.seals & _NO_WRITING

    def check_growth(self, end: int) -> None:
        """SysError(EPERM) if a seal keeps the file from reaching up to `end`."""
        if self.seals & F_SEAL_GROW and end > self.cache.size:
            raise SysError(EPERM)

    def seal(self, seals: int) -> None:
        """F_ADD_SEALS of fcntl(2). Raises SysError: EPERM under F_SEAL_SEAL, EBUSY while a mapping may write."""
        if self.seals & F_SEAL_SEAL:
            raise SysError(EPERM)
        writable = VM_SHARED | VM_MAYWRITE
        if seals & ~self.seals & F_SEAL_WRITE and any(m.vma.flags & writable == writable for m in self.cache.mappings):
            raise SysError(EBUSY)
        self.seals |= seals

    def punch(self, start: int, end: int) -> None:
        """Make [start, end) a hole: fallocate(2). Raises SysError(EPERM) against a seal."""
        if not self.writable():
            raise SysError(EPERM)
        if self.backing is not None:
            self.backing.zero(start, min(end, self.cache.size))
        self.cache.punch(start, end)
        self.modified()
        self.tell(IN_MODIFY)

    def truncate(self, size: int) -> None:
        """Set the length. Raises SysError(EPERM) against a seal."""
        grows, shrinks = size > self.cache.size, size < self.cache.size
        if (grows and self.seals & F_SEAL_GROW) or (shrinks and self.seals & F_SEAL_SHRINK):
            raise SysError(EPERM)
        if self.backing is not None:
            self.backing.truncate(size)
        self.cache.truncate(size)
        self.modified()
        self.tell(IN_MODIFY)


class SocketNode(Inode):
    """A name in the tree that an AF_UNIX socket is, or once was, bound to."""

    kind = S_IFSOCK

    def __init__(self, sb: SuperBlock, mode: int) -> None:
        super().__init__(sb, mode)
        self.socket: File | None = None

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        raise SysError(ENXIO)


def _first(views: Views, n: int) -> list[memoryview]:
    """The first `n` bytes of these."""
    found: list[memoryview] = []
    for view in views:
        found.append(view[:n])
        n -= len(found[-1])
    return found


class Symlink(Inode):
    """A symbolic link. Its length is that of the target."""

    kind = S_IFLNK

    def __init__(self, sb: SuperBlock, target: bytes, uid: int = 0, gid: int = 0) -> None:
        super().__init__(sb, 0o777, uid, gid)
        self.target = target

    def size(self) -> int:
        return len(self.target)

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        raise SysError(ELOOP)

    def read_target(self, caller: "Caller") -> bytes:
        """What readlink(2) gives."""
        return self.target

    def jump(self, caller: "Caller") -> Inode | None:
        """The inode it leads to without a walk, for the magic links of /proc; else None."""
        return None


class Directory(Inode):
    """Names in memory. A directory has one parent and one name; the root is its own parent.

    Invariant: `nlink` is 2 and one for each directory inside, or 0 once removed.
    """

    kind = S_IFDIR
    fixed = False  # True: names cannot be made or removed

    def __init__(
        self, sb: SuperBlock, mode: int, uid: int = 0, gid: int = 0, parent: "Directory | None" = None
    ) -> None:
        super().__init__(sb, mode, uid, gid)
        self.nlink = 2
        self.parent: Directory = parent or self
        self.mount = False  # cannot be removed or renamed
        self.nodes: dict[bytes, Inode] = {}

    def size(self) -> int:
        return PAGE_SIZE

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return DirectoryOpen(self, flags, path)

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        """The inode of a name (not `.` or `..`), or None."""
        return self.nodes.get(name)

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        """All names with their inodes, without `.` and `..`."""
        return list(self.nodes.items())

    def holds(self, name: bytes, inode: Inode) -> bool:
        """True if `inode`, which `items` gave under this name, still has it."""
        return self.fixed or self.nodes.get(name) is inode

    def is_empty(self) -> bool:
        """True if nothing but `.` and `..` is inside."""
        return not self.nodes

    def add(self, name: bytes, inode: Inode) -> None:
        """Enter a name; the caller has checked that it is free and counts the link of a plain file.

        Raises SysError(ENOSPC).
        """
        self.sb.take_name()
        self.nodes[name] = inode
        inode.home, inode.name = self, name
        if isinstance(inode, Directory):
            inode.parent = self
            self.nlink += 1
        self.modified()

    def remove(self, name: bytes) -> Inode:
        """Take a name out; its inode, whose links the caller counts."""
        inode = self.nodes.pop(name)
        self.sb.give_name()
        if isinstance(inode, Directory):
            self.nlink -= 1
        self.modified()
        return inode

    # -- what stands behind it ----------------------------------------------------------------------
    # Called before names change, so that a tree outside of the system can be changed first. All may raise SysError.

    def subdirectory(self, mode: int) -> "Directory":
        """A new directory that may be made in this one; it has no name yet."""
        return Directory(self.sb, mode)

    def create(self, name: bytes, inode: Inode) -> None:
        """`inode`, which is new, will have this name."""

    def link(self, name: bytes, inode: Inode) -> None:
        """`inode` will have this name, too. Raises SysError(EXDEV) if it is outside and this directory is not."""
        if inode.backing is not None:
            raise SysError(EXDEV)

    def drop(self, name: bytes, inode: Inode) -> None:
        """`inode` will lose this name."""

    def move(self, name: bytes, inode: Inode, target: "Directory", new: bytes, replaced: Inode | None) -> None:
        """`inode` will be `new` in `target` instead, where that has been `replaced`'s name."""
        if replaced is not None:
            target.drop(new, replaced)

    def exchange(self, inode: Inode, other: Inode) -> None:
        """Two inodes, the first with a name here, will have each other's names."""
