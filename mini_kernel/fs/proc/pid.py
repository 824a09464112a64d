"""/proc/PID: the directory of a process, its links, its descriptors and its threads (Linux fs/proc/base.c, fd.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File
from mini_kernel.fs.inode import Directory, Inode, SuperBlock
from mini_kernel.fs.path import path_of
from mini_kernel.fs.proc import facts, limits, maps, status, strings
from mini_kernel.fs.proc.node import (
    DELETED,
    ProcDirectory,
    ProcLink,
    SubjectFile,
    SubjectText,
    inode_number,
    owner,
    shown_path,
)
from mini_kernel.fs.proc.odf import Comm, OomScoreAdj, UseOdf
from mini_kernel.fs.proc.pagemap import ClearRefs, Pagemap
from mini_kernel.fs.proc.views import Subject, TaskView
from mini_kernel.uapi.errno import ENOENT
from mini_kernel.uapi.fcntl import O_CLOEXEC, S_IFLNK

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

#: Files that are only read.
_TEXTS: Final[dict[bytes, tuple[int, Callable[[Subject], bytes]]]] = {
    b"status": (0o444, status.status),
    b"stat": (0o444, status.stat),
    b"statm": (0o444, status.statm),
    b"oom_score": (0o444, status.oom_score),
    b"cmdline": (0o444, strings.cmdline),
    b"environ": (0o400, strings.environ),
    b"auxv": (0o400, strings.auxv),
    b"maps": (0o444, maps.maps),
    b"smaps": (0o444, maps.smaps),
    b"smaps_rollup": (0o444, maps.smaps_rollup),
    b"mounts": (0o444, facts.mounts),
    b"mountinfo": (0o444, facts.mountinfo),
    b"limits": (0o444, limits.limits),
    b"io": (0o400, limits.io),
    b"cgroup": (0o444, limits.cgroup),
    b"wchan": (0o444, limits.wchan),
}
#: Files that do more than that.
_FILES: Final[dict[bytes, tuple[int, type[SubjectFile]]]] = {
    b"comm": (0o644, Comm),
    b"use_odf": (0o644, UseOdf),
    b"oom_score_adj": (0o644, OomScoreAdj),
    b"clear_refs": (0o200, ClearRefs),
    b"pagemap": (0o400, Pagemap),
}


class SubjectLink(ProcLink):
    """A link about a process. Readable as long as that is alive."""

    def __init__(self, sb: SuperBlock, number: int, subject: Subject) -> None:
        super().__init__(sb, b"")
        self.subject = subject
        self.ino = number
        self.uid, self.gid = owner(subject)

    def require_task(self) -> TaskView:
        """Raises SysError(ENOENT) once the process is dead."""
        task = self.subject.task
        if task is None:
            raise SysError(ENOENT)
        return task


class ExeLink(SubjectLink):
    """/proc/PID/exe: leads to the program's file by whatever name, or none."""

    def _file(self) -> File | None:
        task = self.require_task()
        areas = task.user_mm.vmas if task.user_mm is not None else ()
        return next((v.file for v in areas if isinstance(v.file, File) and v.file.path == task.exe_path), None)

    def read_target(self, caller: "Caller") -> bytes:
        file = self._file()
        return shown_path(file) if file else self.require_task().exe_path

    def jump(self, caller: "Caller") -> Inode | None:
        file = self._file()
        return file.inode if file else None


def _path_of(directory: Directory, root: Directory) -> bytes:
    """`path_of`, for removed directories as well."""
    if directory.nlink or directory.parent is directory:
        return path_of(directory, root)
    above = _path_of(directory.parent, root).removesuffix(DELETED).rstrip(b"/")
    return above + b"/" + directory.name + DELETED


class CwdLink(SubjectLink):
    """/proc/PID/cwd; leads there even if it was removed."""

    def read_target(self, caller: "Caller") -> bytes:
        return _path_of(self.require_task().fs.cwd, caller.fs.root)

    def jump(self, caller: "Caller") -> Inode | None:
        return self.require_task().fs.cwd


class RootLink(SubjectLink):
    """/proc/PID/root."""

    def read_target(self, caller: "Caller") -> bytes:
        root = self.require_task().fs.root
        return b"/" if root is caller.fs.root else path_of(root, caller.fs.root)

    def jump(self, caller: "Caller") -> Inode | None:
        return self.require_task().fs.root


class FdLink(SubjectLink):
    """/proc/PID/fd/N: leads to the open file's inode, named or not. Its rights are those of the open file."""

    def __init__(self, sb: SuperBlock, number: int, subject: Subject, fd: int, file: File) -> None:
        super().__init__(sb, number, subject)
        self.fd = fd
        self.mode = S_IFLNK | (0o500 if file.can_read else 0) | (0o300 if file.can_write else 0)

    def size(self) -> int:
        return 64

    def _file(self) -> File:
        file = self.require_task().files.fds.get(self.fd)
        if file is None:
            raise SysError(ENOENT)
        return file

    def read_target(self, caller: "Caller") -> bytes:
        return shown_path(self._file())

    def jump(self, caller: "Caller") -> Inode | None:
        return self._file().inode


_LINKS: Final[dict[bytes, type[SubjectLink]]] = {b"cwd": CwdLink, b"exe": ExeLink, b"root": RootLink}


class SubjectDirectory(ProcDirectory):
    """A directory about a process, below `parent`. `whom` is what inode numbers inside begin with."""

    def __init__(self, parent: ProcDirectory, name: bytes, mode: int, subject: Subject, whom: int) -> None:
        super().__init__(parent.sb, mode, parent=parent)
        self.name = name
        self.subject = subject
        self.whom = whom
        self.ino = inode_number(whom, _INDEX.get(name, 0))
        self.uid, self.gid = owner(subject)

    def names(self) -> list[bytes]:
        """What is inside now."""
        raise SysError(ENOENT)

    def make(self, name: bytes) -> Inode | None:
        """The node of a name, None if there is none."""
        raise SysError(ENOENT)

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        return self.make(name) if self.subject.exists else None

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        if not self.subject.exists:
            raise SysError(ENOENT)
        nodes = [(name, self.make(name)) for name in self.names()]
        return [(name, node) for name, node in nodes if node is not None]


class FdDirectory(SubjectDirectory):
    """/proc/PID/fd: a link for each descriptor."""

    def fds(self) -> dict[int, File]:
        """The open files by number."""
        task = self.subject.task
        return task.files.fds if task else {}

    def names(self) -> list[bytes]:
        return [b"%d" % fd for fd in sorted(self.fds())]

    def make(self, name: bytes) -> Inode | None:
        fd = parse_id(name)
        file = self.fds().get(fd)
        number = inode_number(self.whom, _INDEX[b"fd/"], fd)
        return FdLink(self.sb, number, self.subject, fd, file) if file else None


class FdInfo(SubjectFile):
    """/proc/PID/fdinfo/N: where an open file stands, and how it was opened."""

    def __init__(self, sb: SuperBlock, number: int, subject: Subject, fd: int) -> None:
        super().__init__(sb, 0o400, number, subject)
        self.fd = fd

    def text(self) -> bytes:
        task = self.require_subject().task
        file = task.files.fds.get(self.fd) if task else None
        if task is None or file is None:
            raise SysError(ENOENT)
        flags = file.flags | (O_CLOEXEC if self.fd in task.files.cloexec else 0)
        inode = file.inode
        return f"pos:\t{file.pos}\nflags:\t0{flags:o}\nmnt_id:\t{inode.sb.device}\nino:\t{inode.ino}\n".encode()


class FdInfoDirectory(FdDirectory):
    """/proc/PID/fdinfo: a file for each descriptor."""

    def make(self, name: bytes) -> Inode | None:
        fd = parse_id(name)
        number = inode_number(self.whom, _INDEX[b"fdinfo/"], fd)
        return FdInfo(self.sb, number, self.subject, fd) if fd in self.fds() else None


class TaskDirectory(SubjectDirectory):
    """/proc/PID/task: a directory for each thread."""

    def names(self) -> list[bytes]:
        return [b"%d" % task.tid for task in self.subject.process.tasks]

    def make(self, name: bytes) -> Inode | None:
        tid, subject = parse_id(name), self.subject
        thread = next((task for task in subject.process.tasks if task.tid == tid), None)
        if thread is None:
            return None
        return PidDirectory(self, name, Subject(subject.system, subject.process, thread), inside=True)


class PidDirectory(SubjectDirectory):
    """/proc/PID, and /proc/PID/task/TID (`inside`), which has no task/ of its own."""

    def __init__(self, parent: ProcDirectory, name: bytes, subject: Subject, inside: bool = False) -> None:
        super().__init__(parent, name, 0o555, subject, subject.number | (_INSIDE if inside else 0))
        self.inside = inside

    def names(self) -> list[bytes]:
        return [name for name in _NAMES if not (self.inside and name == b"task")]

    def make(self, name: bytes) -> Inode | None:
        if name not in _INDEX or (self.inside and name == b"task"):
            return None
        subject, number = self.subject, inode_number(self.whom, _INDEX[name])
        if name in _TEXTS:
            mode, text = _TEXTS[name]
            return SubjectText(self.sb, mode, number, subject, text)
        if name in _FILES:
            mode, kind = _FILES[name]
            return kind(self.sb, mode, number, subject)
        if name in _LINKS:
            return _LINKS[name](self.sb, number, subject)
        if name == b"fd":
            return FdDirectory(self, name, 0o500, subject, self.whom)
        if name == b"fdinfo":
            return FdInfoDirectory(self, name, 0o555, subject, self.whom)
        return TaskDirectory(self, name, 0o555, subject, self.whom)


_NAMES: Final = (b"task", b"fd", b"fdinfo", *_LINKS, *_TEXTS, *_FILES)
_INSIDE: Final = 1 << 23  # above every number of a process: sets a thread's own directory apart
#: The last part of inode numbers; 0 is the directory itself, fd/ and fdinfo/ stand for what is in them.
_INDEX: Final = {name: index for index, name in enumerate((*_NAMES, b"fd/", b"fdinfo/"), 1)}


def parse_id(name: bytes) -> int:
    """A number as names in /proc write it: decimal, no zeros in front; -1 for anything else."""
    if not name.isdigit() or len(name) > 10 or (name[:1] == b"0" and name != b"0"):
        return -1
    return int(name)
