"""What /proc is made of: directories that nothing can be put into, and files whose content is made when read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import MAX_OFFSET, File, SeekableFile, Views
from mini_kernel.fs.inode import Directory, Inode, SuperBlock, Symlink
from mini_kernel.fs.proc.views import Subject, System
from mini_kernel.uapi.errno import EINVAL, EPERM, ESRCH
from mini_kernel.uapi.fcntl import SEEK_CUR, SEEK_SET
from mini_kernel.uapi.misc import PROC_SUPER_MAGIC

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

DELETED: Final = b" (deleted)"
MAX_WRITE: Final = 4096  # bytes of a write that are looked at: no value here is longer
_NUMBERED: Final = 1 << 60  # inode numbers from here on are not handed out one by one


def inode_number(whom: int, index: int, fd: int = 0) -> int:
    """The inode number of a node about somebody: the same whenever one looks, and no other's.

    `whom` < 2**24 is the number of a process or thread, `index` < 256 says which file, `fd` which descriptor's.
    """
    return _NUMBERED | whom << 32 | fd << 8 | index


class ProcDirectory(Directory):
    """A directory of /proc: nothing can be made there."""

    magic = PROC_SUPER_MAGIC
    fixed = True

    def size(self) -> int:
        return 0

    def chmod(self, mode: int) -> None:
        raise SysError(EPERM)


class ProcLink(Symlink):
    """A link of /proc; what it leads to depends on who looks, or when."""

    magic = PROC_SUPER_MAGIC

    def size(self) -> int:
        return 0


class ProcFile(Inode):
    """A file of /proc. Each kind makes its content in `text` and takes what is written in `store`."""

    magic = PROC_SUPER_MAGIC
    volatile = False  # True: made anew for every read, also in the middle

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return OpenText(self, flags, path)

    def chmod(self, mode: int) -> None:
        raise SysError(EPERM)

    def truncate(self, size: int) -> None:
        """There is nothing to cut off; Linux allows it."""

    def text(self) -> bytes:
        """The content now. Raises SysError ESRCH if it is about somebody who is gone, EINVAL if not readable."""
        raise SysError(EINVAL)

    def store(self, data: bytes) -> None:
        """Take a written value (its first MAX_WRITE bytes). Raises SysError EINVAL, ERANGE, ESRCH."""
        raise SysError(EINVAL)


class OpenText(SeekableFile):
    """An open file of /proc: a read at its beginning makes the content, the following ones go on in it (seq_file)."""

    __slots__ = ("content",)

    inode: ProcFile

    def __init__(self, inode: ProcFile, flags: int, path: bytes = b"") -> None:
        super().__init__(inode, flags, path)
        self.content: bytes | None = None

    def readable_at(self, n: int, offset: int) -> int:
        if self.content is None or not offset or self.inode.volatile:
            self.content = self.inode.text()
        return max(0, min(n, len(self.content) - offset))

    def read_at(self, views: Views, offset: int) -> int:
        return copy_out(memoryview(self.content or b"")[offset:], views)

    def write_at(self, views: Views, offset: int) -> int:
        data = bytearray()
        for view in views:
            data += view[: MAX_WRITE - len(data)]
        self.inode.store(bytes(data))
        return sum(map(len, views))

    def seek(self, offset: int, whence: int) -> int:
        return place(self, offset, whence)


def copy_out(data: memoryview, views: Views) -> int:
    """Fill `views` from the start of `data`; the number of bytes, which is that of the shorter."""
    done = 0
    for view in views:
        part = data[done : done + len(view)]
        view[: len(part)] = part
        done += len(part)
    return done


def shown_path(file: File) -> bytes:
    """The path of an open file, with a note if nothing has that name any more (Linux d_path)."""
    gone = not file.inode.nlink and file.path[:1] == b"/" and not file.path.endswith(DELETED)
    return file.path + DELETED if gone else file.path


def place(file: File, offset: int, whence: int) -> int:
    """lseek(2) where the length is unknown: SEEK_SET and SEEK_CUR. Raises SysError(EINVAL)."""
    if whence == SEEK_CUR:
        offset += file.pos
    elif whence != SEEK_SET:
        raise SysError(EINVAL)
    if not 0 <= offset <= MAX_OFFSET:
        raise SysError(EINVAL)
    file.pos = offset
    return offset


class SystemText(ProcFile):
    """A file about the system as a whole."""

    def __init__(self, sb: SuperBlock, system: System, make: Callable[[System], bytes]) -> None:
        super().__init__(sb, 0o444)
        self.system = system
        self.make = make

    def text(self) -> bytes:
        return self.make(self.system)


class ReportText(ProcFile):
    """A file whose content the kernel object makes: what it is about is above this package."""

    def __init__(self, sb: SuperBlock, system: System, group: bytes, name: bytes) -> None:
        super().__init__(sb, 0o444)
        self.system = system
        self.group = group
        self.name = name

    def text(self) -> bytes:
        return self.system.report(self.group, self.name)


class SubjectFile(ProcFile):
    """A file about a process or a thread, owned by whom that runs as."""

    def __init__(self, sb: SuperBlock, mode: int, number: int, subject: Subject) -> None:
        super().__init__(sb, mode)
        self.subject = subject
        self.ino = number
        self.uid, self.gid = owner(subject)

    def require_subject(self) -> Subject:
        """Whom it is about. Raises SysError(ESRCH) if that is gone."""
        if not self.subject.exists:
            raise SysError(ESRCH)
        return self.subject


class SubjectText(SubjectFile):
    """One that is only read: `make` says what."""

    def __init__(
        self, sb: SuperBlock, mode: int, number: int, subject: Subject, make: Callable[[Subject], bytes]
    ) -> None:
        super().__init__(sb, mode, number, subject)
        self.make = make

    def text(self) -> bytes:
        return self.make(self.require_subject())


def owner(subject: Subject) -> tuple[int, int]:
    """(uid, gid) of what is about this process."""
    task = subject.task
    return (task.cred.euid, task.cred.egid) if task and (task.user_mm is None or task.user_mm.dumpable) else (0, 0)
