"""/proc/self: the program and the open files of whoever looks (proc(5))."""

from typing import TYPE_CHECKING

from mini_kernel.fs.inode import Directory, Inode, SuperBlock, Symlink
from mini_kernel.fs.path import path_of
from mini_kernel.uapi.misc import PROC_SUPER_MAGIC

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller


class ProcDirectory(Directory):
    """A directory of /proc: nothing can be made there."""

    magic = PROC_SUPER_MAGIC
    fixed = True

    def size(self) -> int:
        return 0


class ExeLink(Symlink):
    """/proc/self/exe."""

    def read_target(self, caller: "Caller") -> bytes:
        return caller.exe_path


class CwdLink(Symlink):
    """/proc/self/cwd; leads there even if it was removed."""

    def read_target(self, caller: "Caller") -> bytes:
        return path_of(caller.fs.cwd, caller.fs.root)

    def jump(self, caller: "Caller") -> Inode | None:
        return caller.fs.cwd


class RootLink(Symlink):
    """/proc/self/root."""

    def jump(self, caller: "Caller") -> Inode | None:
        return caller.fs.root


class FdLink(Symlink):
    """/proc/self/fd/N: leads to the open file's inode, named or not."""

    def __init__(self, sb: SuperBlock, fd: int) -> None:
        super().__init__(sb, b"")
        self.fd = fd

    def size(self) -> int:
        return 64

    def read_target(self, caller: "Caller") -> bytes:
        file = caller.files.fds.get(self.fd)
        return file.path if file else b""

    def jump(self, caller: "Caller") -> Inode | None:
        file = caller.files.fds.get(self.fd)
        return file.inode if file else None


class FdDirectory(ProcDirectory):
    """/proc/self/fd: a link for each descriptor."""

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        if not name.isdigit() or (int(name) not in caller.files.fds):
            return None
        return self._link(int(name))

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        return [(b"%d" % fd, self._link(fd)) for fd in sorted(caller.files.fds)]

    def _link(self, fd: int) -> Inode:
        """The link of a descriptor, made once, so that its inode number stays."""
        name = b"%d" % fd
        if name not in self.nodes:
            self.nodes[name] = FdLink(self.sb, fd)
        return self.nodes[name]


def build(sb: SuperBlock) -> Directory:
    """The root of /proc."""
    proc, own = ProcDirectory(sb, 0o555), ProcDirectory(sb, 0o555)
    proc.add(b"self", own)
    own.add(b"fd", FdDirectory(sb, 0o500))
    own.add(b"exe", ExeLink(sb, b""))
    own.add(b"cwd", CwdLink(sb, b""))
    own.add(b"root", RootLink(sb, b"/"))
    return proc
