"""read(2), write(2) and their kin: bytes, positions, and errno at every position."""

import struct

import pytest
from fs_helpers import BUFFER, BUFFER_END, LAST, PAGE, System, make, name, pair

from mini_kernel.uapi.errno import (
    EBADF,
    EFAULT,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
    ESPIPE,
)
from mini_kernel.uapi.fcntl import (
    F_SETFL,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)


@pytest.fixture
def system() -> System:
    return System()


def test_read_and_write_move_the_position(system: System) -> None:
    """What is written at the position is read back from there; the end gives short counts, then 0."""
    fd = make(system, b"")
    system.put(b"hello world")
    assert system.write(fd, BUFFER, 11) == 11
    assert system.read(fd, BUFFER, 5) == 0
    assert system.lseek(fd, 6, SEEK_SET) == 6
    assert system.read(fd, BUFFER + PAGE, 100) == 5
    assert system.got(5, BUFFER + PAGE) == b"world"
    assert system.read(fd, BUFFER, 100) == 0


def test_append_writes_at_the_end_whatever_the_position(system: System) -> None:
    """O_APPEND holds for write, pwrite and after fcntl."""
    fd = make(system, b"12345", O_RDWR | O_APPEND)
    system.put(b"ab")
    assert system.write(fd, BUFFER, 2) == 2
    assert system.lseek(fd, 0, SEEK_CUR) == 7
    assert system.pwrite64(fd, BUFFER, 2, 0) == 2
    assert system.kernel.vfs.read_file(b"/file") == b"12345abab"
    assert system.fcntl(fd, F_SETFL, 0) == 0
    assert system.pwrite64(fd, BUFFER, 2, 0) == 2
    assert system.kernel.vfs.read_file(b"/file") == b"ab345abab"


@pytest.mark.parametrize(
    ("call", "arguments", "wanted"),
    [
        ("read", (LAST, 20), 10),
        ("write", (LAST, 20), 10),
        ("pread64", (LAST, 20, 0), 10),
        ("pwrite64", (LAST, 20, 0), 10),
        ("read", (BUFFER_END, 20), -EFAULT),
        ("write", (BUFFER_END, 20), -EFAULT),
        ("read", (1 << 63, 20), -EFAULT),
        ("write", (0x7FFF_FFFF_F000, 20), -EFAULT),
        ("read", (0, 20), -EFAULT),
        ("read", (BUFFER_END, 0), 0),
        ("write", (BUFFER_END, 0), 0),
        ("read", (BUFFER, (1 << 64) - 1), -EFAULT),
        ("pread64", (BUFFER, 4, -1), -EINVAL),
        ("readv", (BUFFER, 1025), -EINVAL),
        ("readv", (BUFFER_END, 1), -EFAULT),
        ("writev", (BUFFER, 0), 0),
        ("preadv2", (BUFFER, 0, 0, 0, 64), -EOPNOTSUPP),
    ],
)
def test_bad_memory_gives_efault_or_a_partial_count(
    system: System, call: str, arguments: tuple[int, ...], wanted: int
) -> None:
    """Bytes before the first bad one count; none before it is EFAULT."""
    fd = make(system, b"x" * 100)
    assert name(getattr(system, call)(fd, *arguments)) == name(wanted)


def test_partial_counts_move_the_position_as_far(system: System) -> None:
    """After a fault half-way the rest is still there to read."""
    fd = make(system, bytes(range(100)))
    assert system.read(fd, LAST, 100) == 10
    assert system.read(fd, BUFFER, 100) == 90
    assert system.got(3) == b"\x0a\x0b\x0c"
    reader, writer = pair(system)
    system.put(bytes(range(50)))
    assert system.write(writer, BUFFER, 50) == 50
    assert system.read(reader, BUFFER_END, 50) == -EFAULT
    assert system.read(reader, LAST, 50) == 10
    assert system.read(reader, BUFFER, 50) == 40
    assert system.got(1) == b"\x0a"


def test_vectors_fill_and_empty_buffers_in_order(system: System) -> None:
    """Empty pieces do not matter; a bad piece ends the transfer; lengths below zero are refused."""
    fd = make(system, bytes(range(100)))
    vector = BUFFER + 8 * PAGE
    system.put(struct.pack("<8Q", BUFFER, 3, 1, 0, BUFFER + PAGE, 4, 0, 5), vector)
    assert system.readv(fd, vector, 4) == 7
    assert system.got(3) + system.got(4, BUFFER + PAGE) == bytes(range(7))
    assert system.writev(fd, vector, 3) == 7
    assert system.lseek(fd, 0, SEEK_CUR) == 14
    assert system.preadv(fd, vector, 3, 50, 0) == 7
    assert system.got(1) == b"\x32"
    assert system.pwritev(fd, vector, 3, 0, 0) == 7
    assert system.kernel.vfs.read_file(b"/file")[:8] == b"\x32\x33\x34\x35\x36\x37\x38\x00"
    system.put(struct.pack("<2Q", BUFFER, 1 << 63), vector)
    assert system.readv(fd, vector, 1) == -EINVAL


@pytest.mark.parametrize(
    ("path", "flags", "call", "wanted"),
    [
        (b"/file", O_WRONLY, "read", -EBADF),
        (b"/file", O_RDONLY, "write", -EBADF),
        (b"/file", O_PATH, "read", -EBADF),
        (b"/file", 3, "read", -EBADF),
        (b"/tmp", O_RDONLY, "read", -EISDIR),
        (b"/tmp", O_RDONLY, "write", -EBADF),
        (b"/dev/null", O_RDWR, "read", 0),
        (b"/dev/null", O_RDWR, "write", 8),
        (b"/dev/zero", O_RDWR, "read", 8),
        (b"/dev/full", O_RDWR, "write", -ENOSPC),
        (b"/dev/full", O_RDWR, "read", 8),
        (b"/dev/urandom", O_RDWR, "read", 8),
    ],
)
def test_access_modes_and_devices(system: System, path: bytes, flags: int, call: str, wanted: int) -> None:
    """EBADF by access mode, EISDIR for directories, devices as in null(4) and full(4)."""
    make(system, b"content!")
    fd = system.open(path, flags)
    assert name(getattr(system, call)(fd, BUFFER, 8)) == name(wanted)
    assert name(getattr(system, call)(99, BUFFER, 8)) == "EBADF"


def test_null_does_not_look_at_memory(system: System) -> None:
    """write(2) to /dev/null from a bad address succeeds, as on Linux."""
    assert system.write(system.open(b"/dev/null", O_WRONLY), BUFFER_END, 100) == 100


def test_random_bytes_depend_on_the_seed_alone() -> None:
    """Two systems read the same, and two reads differ."""
    reads: list[bytes] = []
    for _ in range(2):
        system = System()
        fd = system.open(b"/dev/urandom", O_RDONLY)
        assert system.read(fd, BUFFER, 64) == 64
        reads.append(system.got(64))
    assert reads[0] == reads[1]
    assert reads[0][:32] != reads[0][32:]


@pytest.mark.parametrize(
    ("offset", "whence", "wanted"),
    [
        (10, SEEK_SET, 10),
        (-1, SEEK_SET, -EINVAL),
        (-3, SEEK_END, 2 * PAGE - 3),
        (5, SEEK_END, 2 * PAGE + 5),
        (0, 9, -EINVAL),
        (0, SEEK_DATA, PAGE),
        (0, SEEK_HOLE, 0),
        (PAGE + 5, SEEK_DATA, PAGE + 5),
        (PAGE + 5, SEEK_HOLE, 2 * PAGE),
        (2 * PAGE, SEEK_DATA, -ENXIO),
        (-1, SEEK_HOLE, -ENXIO),
    ],
)
def test_lseek(system: System, offset: int, whence: int, wanted: int) -> None:
    """Positions of a file whose first page is a hole and whose second is data."""
    fd = make(system, b"")
    assert system.pwrite64(fd, BUFFER, PAGE, PAGE) == PAGE
    assert name(system.lseek(fd, offset, whence)) == name(wanted)


def test_what_has_no_position_says_espipe(system: System) -> None:
    """Pipes and standard streams cannot be positioned."""
    reader, writer = pair(system)
    assert system.lseek(reader, 0, SEEK_CUR) == -ESPIPE
    assert system.pread64(reader, BUFFER, 1, 0) == -ESPIPE
    assert system.pwrite64(writer, BUFFER, 1, 0) == -ESPIPE
    assert system.lseek(0, 0, SEEK_CUR) == -ESPIPE
    assert system.ftruncate(writer, 0) == -EINVAL
    assert system.fsync(writer) == -EINVAL


def test_truncate_and_fallocate_change_the_length(system: System) -> None:
    """Growing gives zeros, punching keeps the length, modes that do not exist are refused."""
    fd = make(system, b"x" * 100)
    assert system.ftruncate(fd, 10) == 0
    assert system.ftruncate(fd, 20) == 0
    assert system.kernel.vfs.read_file(b"/file") == b"x" * 10 + bytes(10)
    assert system.fallocate(fd, 0, 0, 30) == 0
    assert system.fallocate(fd, 3, 2, 5) == 0
    assert system.kernel.vfs.read_file(b"/file") == b"xx" + bytes(5) + b"xxx" + bytes(20)
    assert system.fallocate(fd, 2, 0, 5) == -EOPNOTSUPP
    assert system.fallocate(fd, 0, -1, 5) == -EINVAL
    assert system.fallocate(pair(system)[1], 0, 0, 5) == -ESPIPE
    assert system.fallocate(system.open(b"/dev/null", O_RDWR), 0, 0, 5) == -ENODEV
    assert system.ftruncate(system.open(b"/file", O_RDONLY), 0) == -EINVAL


def test_opening_with_trunc_and_tmpfile(system: System) -> None:
    """O_TRUNC empties; O_TMPFILE makes a file without a name that linkat can give one."""
    make(system, b"x" * 100)
    assert system.open(b"/file", O_WRONLY | O_TRUNC) >= 0
    assert system.kernel.vfs.read_file(b"/file") == b""
    fd = system.open(b"/tmp", O_RDWR | O_TMPFILE, 0o600)
    assert system.write(fd, BUFFER, 7) == 7
    assert system.linkat(fd, b"", -100, b"/tmp/named", 0x1000) == 0
    assert system.kernel.vfs.lookup(system.task, b"/tmp/named") is system.file(fd).inode
    assert system.file(fd).inode.nlink == 1
    system.unlink(b"/tmp/named")
    private = system.open(b"/tmp", O_RDWR | O_TMPFILE | O_EXCL, 0o600)
    assert system.linkat(private, b"", -100, b"/tmp/named", 0x1000) == -ENOENT
    assert system.open(b"/tmp", O_RDONLY | O_TMPFILE, 0o600) == -EINVAL
    assert system.open(b"/file", O_RDWR | O_TMPFILE, 0o600) == -ENOTDIR


def test_sendfile_and_copy_file_range(system: System) -> None:
    """From a file's position or a given one, to a pipe as far as it takes, within files without overlap."""
    fd = make(system, bytes(range(200)))
    out = system.open(b"/copy", O_CREAT | O_RDWR, 0o644)
    assert system.sendfile(out, fd, 0, 50) == 50
    assert system.lseek(fd, 0, SEEK_CUR) == 50
    system.put(struct.pack("<Q", 190), BUFFER)
    assert system.sendfile(out, fd, BUFFER, 50) == 10
    assert system.got(8) == struct.pack("<Q", 200)
    assert system.kernel.vfs.read_file(b"/copy") == bytes([*range(50), *range(190, 200)])
    assert system.copy_file_range(fd, 0, out, 0, 20, 0) == 20
    assert system.kernel.vfs.read_file(b"/copy")[60:] == bytes(range(50, 70))
    system.put(struct.pack("<2Q", 0, 5), BUFFER)
    assert system.copy_file_range(fd, BUFFER, fd, BUFFER + 8, 20, 0) == -EINVAL
    reader, writer = pair(system)
    system.kernel.vfs.write_file(b"/big", b"y" * 100_000)
    big = system.open(b"/big", O_RDONLY)
    assert system.sendfile(writer, big, 0, 100_000) == 65536
    assert system.sendfile(writer, big, 0, 100_000) == "block"
    assert system.sendfile(out, reader, 0, 10) == -EINVAL
    assert system.sendfile(system.open(b"/copy", O_WRONLY | O_APPEND), fd, 0, 10) == -EINVAL
