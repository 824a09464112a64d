"""Descriptors: numbers, copies, flags, seals, and what a snapshot keeps of them."""

import struct

import pytest
from fs_helpers import BUFFER, System, make, pair
from mm_helpers import errno_of

from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.file import File
from mini_kernel.uapi.errno import (
    EBADF,
    EFAULT,
    EINVAL,
    EMFILE,
    EPERM,
)
from mini_kernel.uapi.fcntl import (
    F_ADD_SEALS,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GET_SEALS,
    F_GETFD,
    F_GETFL,
    F_GETLK,
    F_SEAL_GROW,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    F_SETFD,
    F_SETFL,
    O_CLOEXEC,
    O_CREAT,
    O_LARGEFILE,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    SEEK_CUR,
    SEEK_SET,
)


@pytest.fixture
def system() -> System:
    return System()


def test_the_lowest_free_descriptor_is_used(system: System) -> None:
    """After any closing, open, dup and F_DUPFD take the lowest number that is free."""
    fds = [system.open(b"/dev/null", O_RDONLY) for _ in range(5)]
    assert fds == [3, 4, 5, 6, 7]
    system.close(4)
    system.close(6)
    assert system.dup(0) == 4
    assert system.fcntl(0, F_DUPFD, 5) == 6
    assert system.fcntl(0, F_DUPFD, 100) == 100
    assert system.dup(0) == 8
    system.close(0)
    assert system.open(b"/dev/null", O_RDONLY) == 0
    assert system.fcntl(0, F_DUPFD, 1024) == -EINVAL


def test_descriptors_run_out_at_the_limit(system: System) -> None:
    """EMFILE from every call that makes one, and no file is left open by the failure."""
    system.task.files.limit = 5
    assert [system.dup(0), system.dup(0), system.dup(0)] == [3, 4, -EMFILE]
    assert system.open(b"/tmp/new", O_CREAT | O_WRONLY, 0o600) == -EMFILE
    assert system.open(b"/tmp/new", O_RDONLY) == -EMFILE
    assert system.eventfd2(0, 0) == -EMFILE
    assert system.memfd_create(b"m", 0) == -EMFILE
    system.close(4)
    assert system.pipe2(BUFFER, 0) == -EMFILE
    assert sorted(system.task.files.fds) == [0, 1, 2, 3]
    assert system.file(0).refs == 2
    assert system.dup2(0, 5) == -EBADF


def test_dup_shares_the_position_and_dup2_closes(system: System) -> None:
    """Copies are one open file; dup2 onto itself only checks; dup3 onto itself is refused."""
    fd = make(system, b"0123456789")
    other = system.dup(fd)
    system.read(fd, BUFFER, 4)
    assert system.lseek(other, 0, SEEK_CUR) == 4
    reader, writer = pair(system)
    assert system.dup2(fd, writer) == writer
    assert system.read(reader, BUFFER, 1) == 0
    assert system.dup2(fd, fd) == fd
    assert system.dup2(99, 99) == -EBADF
    assert system.dup3(fd, fd, 0) == -EINVAL
    assert system.dup3(fd, 50, O_CLOEXEC) == 50
    assert system.fcntl(50, F_GETFD) == 1


def test_flags_of_descriptors_and_of_open_files(system: System) -> None:
    """FD_CLOEXEC belongs to the number, O_NONBLOCK to the open file; creation flags are not kept."""
    fd = system.open(b"/file", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0o644)
    other = system.fcntl(fd, F_DUPFD_CLOEXEC, 10)
    plain = system.dup(fd)
    assert [system.fcntl(n, F_GETFD) for n in (fd, other, plain)] == [1, 1, 0]
    assert system.fcntl(fd, F_GETFL) == O_RDWR | O_LARGEFILE
    assert system.fcntl(fd, F_SETFL, O_NONBLOCK | O_WRONLY | O_CREAT) == 0
    assert system.fcntl(other, F_GETFL) == O_RDWR | O_LARGEFILE | O_NONBLOCK
    assert system.fcntl(fd, F_SETFD, 0) == 0
    assert system.fcntl(fd, F_GETFD) == 0
    system.task.files.close_on_exec()
    assert sorted(system.task.files.fds) == [0, 1, 2, fd, plain]
    assert system.fcntl(fd, 9999) == -EINVAL
    assert system.fcntl(99, F_GETFD) == -EBADF


def test_close_range_closes_or_marks(system: System) -> None:
    """The range may reach far beyond what is open."""
    for _ in range(4):
        system.dup(0)
    assert system.close_range(4, 5, 0) == 0
    assert system.close_range(6, 0xFFFF_FFFF, 4) == 0
    assert sorted(system.task.files.fds) == [0, 1, 2, 3, 6]
    assert system.task.files.cloexec == {6}
    assert system.close_range(5, 4, 0) == -EINVAL


def test_a_forked_table_shares_files_but_not_numbers(system: System) -> None:
    """Closing in one leaves the other; the open file goes with the last reference."""
    fd = make(system, b"0123456789")
    file: File = system.file(fd)
    copy: FdTable = system.task.files.copy()
    assert file.refs == 2
    system.close(fd)
    assert copy.get(fd) is file
    copy.put_table()
    assert file.refs == 0
    assert copy.fds == {}


def test_locks_are_granted_to_the_only_owner(system: System) -> None:
    """F_GETLK finds no conflict; a lock needs the access mode; nonsense is EINVAL."""
    fd = make(system, b"x", O_RDONLY)
    flock = BUFFER
    system.put(struct.pack("<hhxxxxqqixxxx", 1, 0, 0, 0, 77), flock)
    assert system.fcntl(fd, F_GETLK, flock) == 0
    assert system.got(2) == struct.pack("<h", 2)
    system.put(struct.pack("<h", 1), flock)
    assert system.fcntl(fd, 6, flock) == -EBADF
    system.put(struct.pack("<h", 5), flock)
    assert system.fcntl(fd, 6, flock) == -EINVAL
    assert system.fcntl(fd, 6, 8) == -EFAULT
    assert system.flock(fd, 2) == 0
    assert system.flock(fd, 3) == -EINVAL


def test_seals_hold(system: System) -> None:
    """A sealed memory file cannot be written, grown, shrunk as its seals say; without leave none can be added."""
    fd = system.memfd_create(b"name", 2)
    assert system.file(fd).name == "/memfd:name (deleted)"
    assert system.write(fd, BUFFER, 100) == 100
    assert system.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0
    assert system.ftruncate(fd, 50) == system.ftruncate(fd, 150) == -EPERM
    assert system.pwrite64(fd, BUFFER, 10, 95) == -EPERM
    assert system.pwrite64(fd, BUFFER, 10, 90) == 10
    assert system.fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0
    assert system.pwrite64(fd, BUFFER, 10, 0) == -EPERM
    assert system.fcntl(fd, F_GET_SEALS) == F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
    assert system.fcntl(system.memfd_create(b"x", 0), F_ADD_SEALS, F_SEAL_WRITE) == -EPERM
    assert system.memfd_create(b"x" * 250, 0) == -EINVAL


def test_the_tree_and_open_files_survive_pickling(system: System) -> None:
    """Everything but the handles is plain data: a copy of the tables has the same files at the same positions."""
    make(system, b"0123456789")
    fd = system.open(b"/file", O_RDWR)
    system.read(fd, BUFFER, 4)
    reader, writer = pair(system)
    system.write(writer, BUFFER, 3)
    held = bytes(system.file(reader).pipe.buffer)
    image = system.kernel.snapshot()
    system.read(reader, BUFFER, 3)
    system.lseek(fd, 0, SEEK_SET)
    system.unlink(b"/file")
    system.kernel.restore(image)
    files = system.kernel.tasks[system.task.tid].files
    assert files.get(fd).pos == 4
    assert bytes(files.get(reader).pipe.buffer) == held != b""
    assert system.kernel.vfs.read_file(b"/file") == b"0123456789"
    assert files.get(writer).pipe is files.get(reader).pipe


def test_no_open_file_leaks_a_user(system: System) -> None:
    """After closing everything no inode of the tree has users left, and references reached zero."""
    inode = system.kernel.vfs.lookup(system.task, b"/dev/null")
    fds = [system.open(b"/dev/null", O_RDWR) for _ in range(3)]
    assert inode.users == 3
    system.dup2(fds[0], fds[1])
    assert inode.users == 2
    system.task.files.put_table()
    assert inode.users == 0
    assert errno_of(system.task.files.get, fds[0]) == EBADF
