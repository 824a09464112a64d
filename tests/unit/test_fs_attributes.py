"""Attributes of files, listing directories, the working directory."""

import struct

import pytest
from fs_helpers import BUFFER, BUFFER_END, PAGE, System, make, name, pair

from mini_kernel.uapi.errno import (
    EBADF,
    EFAULT,
    EINVAL,
    ENOTDIR,
    ERANGE,
)
from mini_kernel.uapi.fcntl import (
    O_CREAT,
    O_PATH,
    O_RDONLY,
    O_WRONLY,
    SEEK_SET,
)


@pytest.fixture
def system() -> System:
    return System()


def test_stat_calls_agree(system: System) -> None:
    """stat, fstat, lstat, newfstatat and statx tell the same about one file; links are told apart."""
    fd = make(system, b"x" * 5000)
    system.link(b"/file", b"/again")
    system.symlink(b"/file", b"/link")
    calls = [
        ("stat", (b"/link", BUFFER)),
        ("lstat", (b"/again", BUFFER)),
        ("fstat", (fd, BUFFER)),
        ("newfstatat", (-100, b"/file", BUFFER, 0)),
        ("newfstatat", (fd, b"", BUFFER, 0x1000)),
        ("newfstatat", (system.open(b"/", O_PATH), b"link", BUFFER, 0)),
    ]
    seen: set[bytes] = set()
    for call, arguments in calls:
        assert getattr(system, call)(*arguments) == 0
        seen.add(system.got(144))
    assert len(seen) == 1
    _dev, ino, nlink, mode, _uid, _gid, _rdev, size, _blksize, blocks = struct.unpack_from("<QQQIII4xQqqq", seen.pop())
    assert (nlink, mode, size, blocks) == (2, 0o100644, 5000, 16)
    assert system.statx(-100, b"/file", 0, 0x7FF, BUFFER) == 0
    assert struct.unpack_from("<QQ", system.got(48), 32) == (ino, 5000)
    assert system.lstat(b"/link", BUFFER) == 0
    assert struct.unpack_from("<I", system.got(28), 24)[0] == 0o120777
    assert name(system.newfstatat(-100, b"", BUFFER, 0)) == "ENOENT"
    assert name(system.newfstatat(fd, b"x", BUFFER, 0)) == "ENOTDIR"
    assert name(system.newfstatat(-100, b"/file", BUFFER, 0x8000)) == "EINVAL"
    assert name(system.stat(b"/file", BUFFER_END)) == "EFAULT"
    assert name(system.stat(8, BUFFER)) == "EFAULT"


def test_times_mode_and_owner_are_stored(system: System) -> None:
    """utimensat with times, UTIME_NOW and UTIME_OMIT; chmod; chown drops set-id bits."""
    make(system, b"x")
    inode = system.kernel.vfs.lookup(system.task, b"/file")
    system.put(struct.pack("<4q", 100, 5, 200, 6), BUFFER)
    assert system.utimensat(-100, b"/file", BUFFER, 0) == 0
    assert (inode.atime, inode.mtime) == (100_000_000_005, 200_000_000_006)
    system.put(struct.pack("<4q", 0, 0x3FFFFFFE, 0, 0x3FFFFFFF), BUFFER)
    assert system.utimensat(-100, b"/file", BUFFER, 0) == 0
    assert (inode.atime, inode.mtime) == (100_000_000_005, system.kernel.clock.real_ns())
    system.put(struct.pack("<4q", 0, 10**9, 0, 0), BUFFER)
    assert system.utimensat(-100, b"/file", BUFFER, 0) == -EINVAL
    assert system.chmod(b"/file", 0o6755) == 0
    assert system.chown(b"/file", 7, -1) == 0
    assert (inode.uid, inode.gid, inode.mode) == (7, 0, 0o100755)
    assert system.umask(0o077) == 0o022
    assert system.umask(0o777) == 0o077


def test_created_files_obey_the_umask_and_the_directorys_group(system: System) -> None:
    """mode & ~umask; in a set-group-id directory the group is inherited, by directories with the bit."""
    system.umask(0o027)
    system.mkdir(b"/g", 0o777)
    system.chown(b"/g", -1, 55)
    system.chmod(b"/g", 0o2777)
    system.open(b"/g/f", O_CREAT | O_WRONLY, 0o666)
    system.mkdir(b"/g/d", 0o777)
    look = system.kernel.vfs.lookup
    assert [(i.mode, i.gid) for i in (look(system.task, b"/g/f"), look(system.task, b"/g/d"))] == [
        (0o100640, 55),
        (0o42750, 55),
    ]


def test_getdents_lists_everything_in_pieces_while_names_go(system: System) -> None:
    """With a small buffer all names come once, even if those read are removed in between (rm -r)."""
    names = {b"entry-%d" % n for n in range(40)}
    for entry in names:
        system.kernel.vfs.write_file(b"/many/" + entry, b"")
    fd = system.open(b"/many", O_RDONLY)
    seen: list[bytes] = []
    while count := system.getdents64(fd, BUFFER, 128):
        assert 0 < count <= 128
        data, at = system.got(count), 0
        while at < count:
            size = struct.unpack_from("<H", data, at + 16)[0]
            entry = data[at + 19 : at + size].split(b"\0")[0]
            seen.append(entry)
            if entry in names:
                assert system.unlinkat(fd, entry, 0) == 0
            at += size
    assert sorted(seen) == sorted(names | {b".", b".."})
    assert system.rmdir(b"/many") == 0
    assert name(system.getdents64(fd, BUFFER, 0)) == "EINVAL" or name(system.lseek(fd, 0, SEEK_SET)) == 0
    root = system.open(b"/", O_RDONLY)
    assert system.getdents64(root, BUFFER, 10) == -EINVAL
    assert system.getdents64(root, BUFFER_END, 1000) == -EFAULT
    assert system.getdents64(0, BUFFER, 1000) == -ENOTDIR
    first = system.getdents64(root, BUFFER, 4096)
    assert system.lseek(root, 0, SEEK_SET) == 0
    assert system.getdents64(root, BUFFER, 4096) == first > 0


def test_getcwd_and_relative_descriptors(system: System) -> None:
    """The path with its zero byte, ERANGE if it does not fit; *at calls begin at their descriptor."""
    system.kernel.vfs.write_file(b"/a/b/c", b"")
    assert system.chdir(b"/a/b") == 0
    assert system.getcwd(BUFFER, 5) == 5
    assert system.got(5) == b"/a/b\0"
    assert system.getcwd(BUFFER, 4) == -ERANGE
    fd = system.open(b"/a", O_RDONLY)
    assert system.openat(fd, b"b/c", O_RDONLY) > fd
    assert system.openat(system.open(b"c", O_RDONLY), b"x", O_RDONLY) == -ENOTDIR
    assert system.openat(99, b"x", O_RDONLY) == -EBADF
    assert system.openat(99, b"/a/b/c", O_RDONLY) > 0
    assert system.fchdir(fd) == 0
    assert system.getcwd(BUFFER, 100) == 3


def test_statfs_tells_size_and_kind(system: System) -> None:
    """Memory is the size; pipes, /proc and files have their own magic numbers."""
    system.put(bytes(120))
    assert system.statfs(b"/", BUFFER) == 0
    magic, bsize, blocks, free = struct.unpack_from("<4q", system.got(120))
    assert (magic, bsize, blocks) == (0x01021994, PAGE, 16 << 8)
    assert free == system.kernel.frames.available()
    assert system.statfs(b"/proc", BUFFER) == 0
    assert system.got(8) == struct.pack("<q", 0x9FA0)
    assert system.fstatfs(pair(system)[0], BUFFER) == 0
    assert system.got(8) == struct.pack("<q", 0x50495045)
