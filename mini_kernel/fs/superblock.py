"""What inodes have in common, and what may stand behind one."""

from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.fs.file import Views
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.kmem import INODE
from mini_kernel.mm.pagecache import Quota
from mini_kernel.uapi.errno import ENOSPC

if TYPE_CHECKING:
    from mini_kernel.fs.ttyfile import TerminalInode

_NAMES_MIN: Final = 1024


class Clock(Protocol):
    """Where the time stamps come from."""

    def real_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        ...


class SuperBlock:
    """What all inodes of a mounted file system share. `device` is its st_dev.

    What all file systems share is with the one at the root, `primary`.
    """

    def __init__(self, frames: FrameAllocator, clock: Clock, random: Random) -> None:
        self.frames = frames
        self.clock = clock
        self.random = random
        self.device = 1
        self.primary = self
        self.terminal: TerminalInode | None = None  # what /dev/tty is
        self.watches = 0  # of inotify(7), on all file systems: counted with the primary
        self.moves = 0  # renames that were told of, there too: the cookies
        self.next_ino = 1
        self.names = 0
        self.quota: Quota | None = None  # of the pages of its files

    def take_name(self) -> None:
        """One more name. Raises SysError(ENOSPC) without kernel memory for it."""
        try:
            self.frames.kmem.take(INODE)
        except SysError:
            raise SysError(ENOSPC) from None
        self.names += 1

    def require_name(self) -> None:
        """Raises SysError(ENOSPC) at the limit of names, half as many as RAM has pages (tmpfs(5) nr_inodes)."""
        if self.names >= max(_NAMES_MIN, self.frames.total >> 1):
            raise SysError(ENOSPC)

    def give_name(self) -> None:
        """One less."""
        self.names -= 1
        self.frames.kmem.give(INODE)

    def another(self, device: int) -> "SuperBlock":
        """That of a file system mounted beside."""
        other = SuperBlock(self.frames, self.clock, self.random)
        other.device, other.primary = device, self
        return other

    def new_ino(self) -> int:
        """An inode number that was never used."""
        self.next_ino += 1
        return self.next_ino - 1


class Behind(Protocol):
    """What stands behind an inode outside of the system and is changed first: host.Backing. Methods raise SysError."""

    mapped: bool  # a mapping may have stored what it has not seen

    def write(self, views: Views, offset: int) -> int:
        """Store; how many bytes were taken."""
        ...

    def zero(self, start: int, end: int) -> None:
        """Store zeros."""
        ...

    def truncate(self, size: int) -> None:
        """Set the length."""
        ...

    def write_back(self, sync: bool) -> None:
        """Store what mappings may have changed; `sync`: and see it to the disk."""
        ...

    def chmod(self, mode: int) -> None:
        """Set the mode; `mode` has the type, too."""
        ...

    def chown(self, uid: int, gid: int) -> None:
        """Set the owner; -1 leaves one."""
        ...

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both, in nanoseconds."""
        ...

    def gone(self) -> None:
        """Nobody can reach the inode any more."""
        ...
