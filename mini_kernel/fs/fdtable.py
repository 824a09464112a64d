"""The descriptor table of a process (Linux files_struct)."""

from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File
from mini_kernel.mm.kmem import DESCRIPTOR, KernelMemory
from mini_kernel.uapi.errno import EBADF, EINVAL, EMFILE

NOFILE: Final = 1024  # RLIMIT_NOFILE


class FdTable:
    """Numbers to open files. Each entry holds one reference. `users` tasks share the table (CLONE_FILES)."""

    def __init__(self, limit: int = NOFILE, memory: KernelMemory | None = None) -> None:
        """`memory` is charged for every descriptor and what it may keep open."""
        self.fds: dict[int, File] = {}
        self.cloexec: set[int] = set()
        self.limit = limit
        self.users = 1
        self.memory = memory
        self._lowest = 0  # every descriptor below is in use

    def get(self, fd: int) -> File:
        """The open file; no reference is taken. Raises SysError(EBADF)."""
        file = self.fds.get(fd & 0xFFFF_FFFF)  # descriptors are 32-bit arguments
        if file is None:
            raise SysError(EBADF)
        return file

    def free(self, at_least: int = 0) -> int:
        """The lowest free descriptor. Raises SysError(EMFILE)."""
        fd = at_least if at_least > self._lowest else self._lowest
        while fd in self.fds:
            fd += 1
        if fd >= self.limit:
            raise SysError(EMFILE)
        return fd

    def install(self, file: File, cloexec: bool = False, at_least: int = 0) -> int:
        """Give `file` the lowest free descriptor; takes over its reference, also when SysError is raised.

        Raises SysError: EMFILE, or ENOMEM for want of kernel memory.
        """
        try:
            fd = self.free(at_least)
            if self.memory is not None:
                self.memory.take(DESCRIPTOR)
        except SysError:
            file.put()
            raise
        self._set(fd, file, cloexec)
        return fd

    def _set(self, fd: int, file: File, cloexec: bool) -> None:
        self.fds[fd] = file
        if cloexec:
            self.cloexec.add(fd)
        if fd == self._lowest:
            self._lowest = fd + 1

    def dup(self, fd: int, cloexec: bool = False, at_least: int = 0) -> int:
        """The lowest free descriptor from `at_least` on for the same open file.

        Raises SysError: EBADF, EINVAL for `at_least` outside the table, EMFILE.
        """
        file = self.get(fd)
        if not 0 <= at_least < self.limit:
            raise SysError(EINVAL)
        return self.install(file.get(), cloexec, at_least)

    def dup_to(self, old: int, new: int, cloexec: bool = False) -> int:
        """Make `new`, closed first if open, the same open file as `old` (dup3). Raises SysError(EBADF)."""
        file = self.get(old)
        if not 0 <= new < self.limit:
            raise SysError(EBADF)
        if self.memory is not None:
            self.memory.take(DESCRIPTOR)
        file.get()
        if new in self.fds:
            self.close(new)
        self._set(new, file, cloexec)
        return new

    def close(self, fd: int) -> None:
        """Forget a descriptor. Raises SysError(EBADF)."""
        fd &= 0xFFFF_FFFF
        file = self.fds.pop(fd, None)
        if file is None:
            raise SysError(EBADF)
        if self.memory is not None:
            self.memory.give(DESCRIPTOR)
        self.cloexec.discard(fd)
        if fd < self._lowest:
            self._lowest = fd
        if file.inode.locks is not None:
            file.inode.drop_locks(self)
        file.put()

    def copy(self) -> "FdTable":
        """A table of its own with the same open files, for fork(2)."""
        new = FdTable(self.limit, self.memory)
        new.fds = {fd: file.get() for fd, file in self.fds.items()}
        new.cloexec = set(self.cloexec)
        new._lowest = self._lowest
        if self.memory is not None:
            self.memory.owe(len(new.fds) * DESCRIPTOR)
        return new

    def close_on_exec(self) -> None:
        """Close what is marked so, for execve(2)."""
        for fd in sorted(self.cloexec):
            self.close(fd)

    def get_table(self) -> "FdTable":
        """One more task shares this table."""
        self.users += 1
        return self

    def put_table(self) -> None:
        """One task less; the last closes everything."""
        self.users -= 1
        if not self.users:
            for fd in sorted(self.fds):
                self.close(fd)
