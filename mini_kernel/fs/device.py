"""Character devices: null(4), zero(4), full(4), random(4), tty(4)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, SeekableFile, Views
from mini_kernel.fs.inode import Inode, SuperBlock
from mini_kernel.uapi.errno import ENODEV, ENOSPC, ENXIO
from mini_kernel.uapi.fcntl import S_IFCHR
from mini_kernel.uapi.structs import makedev

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

#: Names in /dev, with major and minor numbers (Linux Documentation/admin-guide/devices.txt).
NODES: Final = {
    b"null": (1, 3), b"zero": (1, 5), b"full": (1, 7), b"random": (1, 8), b"urandom": (1, 9), b"tty": (5, 0),
    b"console": (5, 1), b"ptmx": (5, 2),
}  # fmt: skip


class NullFile(SeekableFile):
    """/dev/null: nothing to read, and what is written is not even looked at."""

    __slots__ = ()

    sink = True

    def readable_at(self, n: int, offset: int) -> int:
        return 0

    def seek(self, offset: int, whence: int) -> int:
        self.pos = 0
        return 0


class ZeroFile(NullFile):
    """/dev/zero: zeros without end; a mapping of it is anonymous memory."""

    __slots__ = ()

    def maps_anonymous(self) -> bool:
        return True

    def readable_at(self, n: int, offset: int) -> int:
        return n

    def read_at(self, views: Views, offset: int) -> int:
        for view in views:
            view[:] = bytes(len(view))
        return sum(map(len, views))


class FullFile(ZeroFile):
    """/dev/full: zeros to read, and no space to write."""

    __slots__ = ()

    sink = False

    def maps_anonymous(self) -> bool:
        return False

    def may_write(self, n: int) -> int:
        raise SysError(ENOSPC)

    def write_at(self, views: Views, offset: int) -> int:
        raise SysError(ENOSPC)


class RandomFile(NullFile):
    """/dev/random and /dev/urandom: bytes of the system's seeded generator."""

    __slots__ = ()

    def readable_at(self, n: int, offset: int) -> int:
        return n

    def read_at(self, views: Views, offset: int) -> int:
        for view in views:
            view[:] = self.inode.sb.random.randbytes(len(view))
        return sum(map(len, views))


_PTMX: Final = (5, 2)
_DRIVERS: Final[dict[tuple[int, int], type[NullFile]]] = {
    (1, 3): NullFile, (1, 5): ZeroFile, (1, 7): FullFile, (1, 8): RandomFile, (1, 9): RandomFile,
}  # fmt: skip


class CharDevice(Inode):
    """A device node: the numbers say what it is."""

    kind = S_IFCHR

    def __init__(self, sb: SuperBlock, mode: int, device: tuple[int, int], uid: int = 0, gid: int = 0) -> None:
        super().__init__(sb, mode, uid, gid)
        self.device = device
        self.rdev = makedev(*device)

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        """Raises SysError(ENXIO) if there is no such device, or no terminal behind /dev/tty."""
        driver = _DRIVERS.get(self.device)
        if driver:
            return driver(self, flags, path)
        if self.device == _PTMX:
            raise SysError(ENODEV)  # as where no devpts is mounted
        terminal = self.sb.primary.terminal
        if self.device[0] != 5 or terminal is None:
            raise SysError(ENXIO)
        return terminal.open_controlling(flags, path)
