"""Open file descriptions (Linux struct file): what a descriptor refers to, shared by dup(2) and fork(2).

Data moves in two steps, so that nothing is lost when user memory turns out bad: `may_read(n)` says how many bytes
could be delivered now (0 is end of file), the caller faults in memory for that many, `read_into(views)` fills it.
Writing is the same with `may_write` and `write_from`. Waiting (Block) and refusing (SysError) come before any change.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import fsdecode
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mini_kernel.errors import SysError
from mini_kernel.fs.notify import tell
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.errno import EINVAL, EISDIR, ENODEV, ENOENT, ENOTTY, ENXIO, ESPIPE
from mini_kernel.uapi.fcntl import (
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    O_LARGEFILE,
    O_NOCTTY,
    O_PATH,
    O_TRUNC,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)
from mini_kernel.uapi.inotify import IN_ACCESS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE
from mini_kernel.uapi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from mini_kernel.wait import WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.inode import Directory, Inode, RegularFile
    from mini_kernel.fs.path import Caller
    from mini_kernel.mm.mm import Mm

MAX_OFFSET = (1 << 63) - 1  # loff_t
READABLE = POLLIN | POLLRDNORM
WRITABLE = POLLOUT | POLLWRNORM
_AT_OPEN_ONLY = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC

Views = Sequence[memoryview]


class Told(NamedTuple):
    """Who would hear of input and output, and by which signal: F_SETOWN, F_SETSIG. Only kept: there is no SIGIO."""

    kind: int  # F_OWNER_*
    number: int  # 0: nobody
    signal: int  # 0: SIGIO


NOBODY: Final = Told(0, 0, 0)


class User(Protocol):
    """A task, as an ioctl sees it: whose memory the argument points into."""

    @property
    def mm(self) -> "Mm":
        """The address space."""
        ...

    @property
    def tgid(self) -> int:
        """Process id."""
        ...

    @property
    def pgid(self) -> int:
        """Process group."""
        ...

    @property
    def sid(self) -> int:
        """Session."""
        ...


class Watcher(Protocol):
    """An entry of an epoll instance."""

    def file_closed(self) -> None:
        """The file it watches is going."""
        ...


class File:
    """One open file. `refs` counts descriptors and mappings; the last `put` closes it.

    Methods that a kind of file does not offer fail as Linux does when the operation is missing.
    """

    __slots__ = ("can_read", "can_write", "flags", "inode", "path", "pos", "refs", "told", "watchers")

    can_poll = False  # True: may be watched by epoll(7); False also means always ready
    breaks_silently = False  # True: a write that nobody can receive fails with EPIPE and sends no SIGPIPE
    sink = False  # True: writes vanish without the memory being looked at

    def __init__(self, inode: "Inode", flags: int, path: bytes = b"") -> None:
        self.inode = inode
        self.flags = (flags & ~_AT_OPEN_ONLY) | (0 if flags & O_PATH else O_LARGEFILE)
        self.path = path
        self.pos: int = 0
        self.refs = 1
        self.told = NOBODY
        self.watchers: list[Watcher] | None = None  # epoll instances, each with one of its entries
        mode = 0 if flags & O_PATH else (flags + 1) & 3  # Linux OPEN_FMODE: 0, 1, 2, 3 -> r, w, rw, none
        self.can_read = bool(mode & 1)
        self.can_write = bool(mode & 2)
        inode.users += 1

    # -- lifetime and mapping -----------------------------------------------------------------------

    def get(self) -> "File":
        """One more descriptor or mapping."""
        self.refs += 1
        return self

    def put(self) -> None:
        """One less; the last closes the file and lets go of the inode."""
        self.refs -= 1
        if not self.refs:
            if self.inode.locks is not None:
                self.inode.drop_locks(self)
            if self.watchers:
                for watcher in tuple(self.watchers):
                    watcher.file_closed()
            if self.inode.sb.primary.watches and not self.flags & O_PATH:
                tell(self.inode, IN_CLOSE_WRITE if self.can_write else IN_CLOSE_NOWRITE)
            self.release()
            self.inode.put()

    def release(self) -> None:
        """Called once, when nobody uses the file any more."""

    @property
    def name(self) -> str:
        """What /proc/pid/maps and /proc/pid/fd show."""
        return fsdecode(self.path)

    @property
    def cache(self) -> PageCache:
        """The pages to map. Raises SysError(ENODEV) for what cannot be mapped."""
        raise SysError(ENODEV)

    def maps_anonymous(self) -> bool:
        """True if mmap of this file gives anonymous memory (/dev/zero)."""
        return False

    # -- data ---------------------------------------------------------------------------------------

    def may_read(self, n: int) -> int:
        """How many of `n` > 0 bytes a read can deliver now, 0 at the end. Raises Block or SysError."""
        raise SysError(EINVAL)

    def read_into(self, views: Views) -> int:
        """Fill `views`, which hold no more than `may_read` allowed; the number of bytes."""
        raise SysError(EINVAL)

    def may_write(self, n: int) -> int:
        """How many of `n` > 0 bytes a write can take now, at least one. Raises Block or SysError."""
        raise SysError(EINVAL)

    def write_from(self, views: Views) -> int:
        """Take the bytes of `views`, which hold no more than `may_write` allowed; how many were taken."""
        raise SysError(EINVAL)

    def write_nothing(self) -> int:
        """write(2) of no bytes: 0, and a datagram where there are such. Raises Block or SysError."""
        return 0

    def readable_at(self, n: int, offset: int) -> int:
        """`may_read` for pread(2) at `offset`. Raises SysError(ESPIPE) if the file has no positions."""
        raise SysError(ESPIPE)

    def read_at(self, views: Views, offset: int) -> int:
        """Fill `views` from `offset`; pread(2)."""
        raise SysError(ESPIPE)

    def write_at(self, views: Views, offset: int) -> int:
        """Store `views` at `offset`; pwrite(2)."""
        raise SysError(ESPIPE)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position; lseek(2). Raises SysError(ESPIPE) or (EINVAL)."""
        raise SysError(ESPIPE)

    # -- readiness and control ----------------------------------------------------------------------

    def poll(self) -> int:
        """POLL* bits that hold now."""
        return READABLE | WRITABLE

    def queues(self) -> tuple[WaitQueue, ...]:
        """Queues that are woken when `poll` may have changed."""
        return ()

    def ioctl(self, user: User, request: int, argument: int) -> int:
        """ioctl(2). Raises SysError(ENOTTY) for requests the file does not know."""
        raise SysError(ENOTTY)


class PathFile(File):
    """A file opened with O_PATH: stands for its place in the tree, moves no data (EBADF by the mode bits)."""

    __slots__ = ()


class SeekableFile(File):
    """A file with a position: the plain read and write are pread and pwrite there."""

    __slots__ = ()

    def may_read(self, n: int) -> int:
        return self.readable_at(n, self.pos)

    def read_into(self, views: Views) -> int:
        done = self.read_at(views, self.pos)
        self.pos += done
        return done

    def may_write(self, n: int) -> int:
        return n

    def write_from(self, views: Views) -> int:
        done = self.write_at(views, self.pos)
        self.pos += done
        return done


class RegularOpen(SeekableFile):
    """An open regular file."""

    __slots__ = ()

    inode: "RegularFile"

    @property
    def cache(self) -> PageCache:
        if self.can_write and self.inode.backing is not None:
            self.inode.backing.mapped = True
        return self.inode.cache

    def release(self) -> None:
        if self.can_write and self.inode.backing is not None:
            with suppress(SysError):  # nobody is left to be told
                self.inode.backing.write_back(False)

    def readable_at(self, n: int, offset: int) -> int:
        left = self.inode.cache.size - offset
        return n if n < left else max(left, 0)

    def read_at(self, views: Views, offset: int) -> int:
        cache, start = self.inode.cache, offset
        for view in views:
            try:
                got = cache.read_into(offset, view)
            except SysError:
                if offset == start:
                    raise
                break
            offset += got
            if got < len(view):
                break
        if offset > start:
            inode = self.inode
            if inode.atime <= inode.mtime or inode.atime <= inode.ctime:
                inode.accessed(self.flags)
            if inode.sb.primary.watches:
                tell(inode, IN_ACCESS)
        return offset - start

    def write_at(self, views: Views, offset: int) -> int:
        return self.inode.write(views, self.inode.cache.size if self.flags & O_APPEND else offset)

    def write_from(self, views: Views) -> int:
        if self.flags & O_APPEND:
            self.pos = self.inode.cache.size
        done = self.inode.write(views, self.pos)
        self.pos += done
        return done

    def seek(self, offset: int, whence: int) -> int:
        cache = self.inode.cache
        if whence == SEEK_CUR:
            offset += self.pos
        elif whence == SEEK_END:
            offset += cache.size
        elif whence in (SEEK_DATA, SEEK_HOLE):
            offset = self._seek_data(offset, whence)
        elif whence != SEEK_SET:
            raise SysError(EINVAL)
        if not 0 <= offset <= MAX_OFFSET:
            raise SysError(EINVAL)
        self.pos = offset
        return offset

    def _seek_data(self, offset: int, whence: int) -> int:
        cache = self.inode.cache
        if not 0 <= offset < cache.size:
            raise SysError(ENXIO)
        found = cache.next_data(offset) if whence == SEEK_DATA else cache.next_hole(offset)
        if found is None:
            raise SysError(ENXIO)
        return found


class DirectoryOpen(File):
    """An open directory. The listing is taken when reading begins, so that entries may go meanwhile."""

    __slots__ = ("listing",)

    inode: "Directory"

    def __init__(self, inode: "Directory", flags: int, path: bytes = b"") -> None:
        super().__init__(inode, flags, path)
        self.listing: list[tuple[bytes, Inode]] = []

    def may_read(self, n: int) -> int:
        raise SysError(EISDIR)

    def readable_at(self, n: int, offset: int) -> int:
        raise SysError(EISDIR)

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_CUR:
            offset += self.pos
        elif whence != SEEK_SET:
            raise SysError(EINVAL)
        if offset < 0:
            raise SysError(EINVAL)
        self.pos = offset
        return offset

    def entries(self, caller: "Caller") -> Iterator[tuple[int, bytes, "Inode"]]:
        """(position behind it, name, inode) from the position on, of what is still there.

        Positions count entries, `.` and `..` first. Raises SysError(ENOENT) if the directory was removed.
        """
        inode = self.inode
        if inode.nlink == 0:
            raise SysError(ENOENT)
        if self.pos == 0 or not self.listing:
            self.listing = [(b".", inode), (b"..", inode.parent), *inode.items(caller)]
        for position in range(self.pos, len(self.listing)):
            name, entry = self.listing[position]
            if position < 2 or inode.holds(name, entry):
                yield position + 1, name, entry
