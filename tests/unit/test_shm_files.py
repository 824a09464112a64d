"""/dev/shm and memory files at the level of the calls; what programs see of them is in tests/programs/shm."""

import struct

import pytest
from fs_helpers import BUFFER, System

from mini_kernel.uapi.errno import EBUSY, EEXIST, EINVAL, EPERM
from mini_kernel.uapi.fcntl import (
    F_ADD_SEALS,
    F_GET_SEALS,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_WRITE,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_RDWR,
)
from mini_kernel.uapi.misc import TMPFS_MAGIC
from mini_kernel.uapi.mman import MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_HUGE_2MB, MFD_HUGETLB

_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16


@pytest.fixture
def system() -> System:
    return System()


def test_dev_shm_is_a_sticky_directory_that_stays(system: System) -> None:
    """Anybody makes files there, only owners remove them; the directory itself cannot be removed or renamed."""
    assert system.stat(b"/dev/shm", BUFFER) == 0
    assert struct.unpack_from("<I", system.got(144), 24) == (0o41777,)
    assert system.statfs(b"/dev/shm", BUFFER) == 0
    assert struct.unpack_from("<Q", system.got(120)) == (TMPFS_MAGIC,)
    assert system.rmdir(b"/dev/shm") == system.rename(b"/dev/shm", b"/dev/x") == -EBUSY
    system.task.fs.uid = 5
    assert system.open(b"/dev/shm/name", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) == 3
    assert system.open(b"/dev/shm/name", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) == -EEXIST
    system.task.fs.uid = 6
    assert system.unlink(b"/dev/shm/name") == -EPERM
    system.task.fs.uid = 5
    assert system.unlink(b"/dev/shm/name") == 0


@pytest.mark.parametrize(
    "flags", [MFD_HUGETLB, MFD_HUGETLB | MFD_HUGE_2MB, MFD_HUGE_2MB, MFD_HUGETLB | MFD_CLOEXEC, 0x8, 0x100, 1 << 31]
)
def test_memory_files_have_no_huge_pages_nor_unknown_flags(system: System, flags: int) -> None:
    """EINVAL, and no descriptor."""
    assert system.memfd_create(b"m", flags) == -EINVAL
    assert sorted(system.task.files.fds) == [0, 1, 2]


def test_seals_are_refused_in_linux_s_order(system: System) -> None:
    """EINVAL for a seal that does not exist comes before EPERM for a file that takes none."""
    open_one, closed = system.memfd_create(b"a", MFD_ALLOW_SEALING), system.memfd_create(b"b", 0)
    assert system.fcntl(closed, F_ADD_SEALS, 0x1000) == system.fcntl(open_one, F_ADD_SEALS, 0x1000) == -EINVAL
    assert system.fcntl(closed, F_ADD_SEALS, F_SEAL_GROW) == -EPERM
    assert system.fcntl(open_one, F_ADD_SEALS, F_SEAL_SEAL) == 0
    assert system.fcntl(open_one, F_ADD_SEALS, 0) == -EPERM
    assert system.fcntl(open_one, F_GET_SEALS) == system.fcntl(closed, F_GET_SEALS) == F_SEAL_SEAL


@pytest.mark.parametrize("seal", [F_SEAL_WRITE, F_SEAL_FUTURE_WRITE])
def test_no_hole_gets_through_a_seal(system: System, seal: int) -> None:
    """Punching and zeroing are writing; growing by fallocate is growing, even where the size stays."""
    fd = system.memfd_create(b"a", MFD_ALLOW_SEALING)
    system.pwrite64(fd, system.put(b"content"), 7, 0)
    assert system.fcntl(fd, F_ADD_SEALS, seal | F_SEAL_GROW) == 0
    assert system.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, 0, 7) == -EPERM
    assert system.fallocate(fd, _ZERO_RANGE, 0, 7) == -EPERM
    assert system.fallocate(fd, 0, 0, 8) == system.fallocate(fd, _KEEP_SIZE, 0, 8) == -EPERM
    assert system.fallocate(fd, 0, 0, 7) == 0
    assert system.pread64(fd, BUFFER, 100, 0) == 7
    assert system.got(7) == b"content"
