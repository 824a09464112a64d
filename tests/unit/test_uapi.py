"""Constants and layouts against the C library of the machine that runs the tests."""

import ctypes
import errno
import os
import platform
import resource
import select
import signal
import socket
import stat
import struct
from pathlib import Path
from types import ModuleType

import pytest

from mini_kernel import uapi
from mini_kernel.uapi import structs

x86_64_linux = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux", reason="needs an x86-64 Linux host to compare with"
)


@x86_64_linux
@pytest.mark.parametrize(
    ("module", "prefixes", "different"),
    [
        (errno, ("E",), set[str]()),
        (signal, ("SIG",), {"SIGRTMIN", "SIGRTMAX", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"}),
        (os, ("O_", "SEEK_", "WNOHANG", "WUNTRACED", "CLONE_", "PRIO_", "RWF_", "P_ALL", "P_P"), {"O_LARGEFILE"}),
        (stat, ("S_IF", "S_IR", "S_IW", "S_IX", "S_IS"), set[str]()),
        (resource, ("RLIMIT_", "RUSAGE_"), {"RLIM_INFINITY"}),
        (select, ("POLL", "EPOLL"), {"EPOLL_RDHUP"}),
        (socket, ("AF_", "SOCK_", "SO_", "SOL_", "MSG_"), {"SO_INCOMING_CPU"}),
    ],
)
def test_constants_agree_with_the_host(module: ModuleType, prefixes: tuple[str, ...], different: set[str]) -> None:
    """Every name that Python's own modules know, too, has the same value."""
    ours = uapi.constants()
    theirs = {n: int(v) for n, v in vars(module).items() if n.startswith(prefixes) and isinstance(v, int)}
    common = (ours.keys() & theirs.keys()) - different
    assert len(common) > 5
    assert {n: ours[n] for n in common} == {n: theirs[n] for n in common}


def test_names_are_the_usual_ones() -> None:
    """Aliases do not hide the names that strace prints."""
    assert uapi.errno_names[11] == "EAGAIN"
    assert uapi.errno_names[35] == "EDEADLK"
    assert uapi.errno_names[95] == "EOPNOTSUPP"
    assert [uapi.signal_names[n] for n in (6, 29, 31, 32, 34)] == ["SIGABRT", "SIGIO", "SIGSYS", "SIGRTMIN", "SIGRT_2"]
    assert set(range(1, 65)) == set(uapi.signal_names)
    assert uapi.syscall_names[0] == "read"
    assert (uapi.syscall_names[2000], uapi.syscall_names[2001]) == ("odfork", "sfork")


def test_constants_are_plain_integers_with_what_programs_use() -> None:
    """An assembler source can name flags, numbers and the project's own additions."""
    table = uapi.constants()
    assert all(type(value) is int for value in table.values())
    wanted = {
        "SYS_write": 1,
        "PROT_READ": 1,
        "MAP_PRIVATE": 2,
        "CHILD_WRITE": 1,
        "PARENT_WRITE": 2,
        "SFORK_POPULATE": 4,
    }
    wanted |= {"MAP_SFORK": 0x200, "SYS_odfork": 2000, "AT_FDCWD": -100, "AT_PHDR": 3, "SIGSEGV": 11, "ENOENT": 2}
    assert {name: table[name] for name in wanted} == wanted


def _syscall(*arguments: object) -> int:
    return ctypes.CDLL(None, use_errno=True).syscall(*arguments)


def _as_stat(info: os.stat_result) -> structs.Stat:
    return structs.Stat(
        info.st_ino, info.st_mode, info.st_nlink, info.st_uid, info.st_gid, info.st_rdev, info.st_size,
        info.st_blksize, info.st_blocks, info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns, info.st_dev,
    )  # fmt: skip


@x86_64_linux
def test_stat_has_the_kernels_layout(tmp_path: Path) -> None:
    """The bytes of stat(2) for a file are those the packer makes from Python's view of it."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    path.chmod(0o640)
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))
    raw = ctypes.create_string_buffer(structs.STAT_SIZE)
    assert _syscall(4, os.fsencode(path), raw) == 0
    assert _as_stat(path.stat()).pack() == raw.raw


@x86_64_linux
def test_statx_has_the_kernels_layout(tmp_path: Path) -> None:
    """statx(2), apart from attributes, birth time and mount id, which Python does not tell."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    raw = ctypes.create_string_buffer(structs.STATX_SIZE)
    if _syscall(332, -100, os.fsencode(path), 0, 0x7FF, raw) != 0:
        pytest.skip("the host has no statx")
    ours, theirs = _as_stat(path.stat()).pack_statx(0x7FF), raw.raw
    for first, last in ((4, 8), (16, 56), (64, 76), (96, 108), (112, 124)):
        assert ours[first:last] == theirs[first:last], (first, last)
    assert len(ours) == structs.STATX_SIZE


@x86_64_linux
def test_rusage_and_rlimit_have_the_kernels_layout() -> None:
    """Fields are where the host's calls put them."""
    raw = ctypes.create_string_buffer(structs.RUSAGE_SIZE)
    ours = struct.unpack("<18q", structs.pack_rusage(1_500_002_000, 2_000_003_000, 4, 5, 6, 7, 8))
    assert ours[:5] == (1, 500002, 2, 3, 4)
    assert (ours[8], ours[9], ours[16], ours[17]) == (5, 6, 7, 8)
    assert _syscall(98, 0, raw) == 0
    assert struct.unpack("<18q", raw.raw)[4] >= 1000  # maxrss in KiB stands where ours does
    limit = ctypes.create_string_buffer(16)
    assert _syscall(97, resource.RLIMIT_NOFILE, limit) == 0
    infinite = (1 << 64) - 1
    expected = [infinite if n == -1 else n for n in resource.getrlimit(resource.RLIMIT_NOFILE)]
    assert structs.unpack_rlimit(limit.raw) == tuple(expected)
    assert structs.pack_rlimit(*expected) == limit.raw


@x86_64_linux
def test_directory_entries_have_the_kernels_layout(tmp_path: Path) -> None:
    """Packing what getdents64(2) of the host says gives its bytes again."""
    (tmp_path / "a").touch()
    (tmp_path / "a-long-name-to-pad").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY)
    raw = ctypes.create_string_buffer(4096)
    length = _syscall(217, fd, raw, 4096)
    os.close(fd)
    at = 0
    names: set[bytes] = set()
    while at < length:
        ino, offset, size, kind = struct.unpack_from("<QqHB", raw.raw, at)
        name = raw.raw[at + 19 : at + size].split(b"\0")[0]
        ours = structs.pack_dirent64(ino, offset, kind, name)
        assert len(ours) == size
        assert ours[: 20 + len(name)] == raw.raw[at : at + 20 + len(name)]
        names.add(name)
        at += size
    assert names == {b".", b"..", b"a", b"a-long-name-to-pad"}


def test_sizes() -> None:
    """The sizes that user code allocates."""
    assert len(structs.pack_siginfo(11, 1, structs.siginfo_fault(0xDEAD))) == structs.SIGINFO_SIZE
    assert len(structs.pack_utsname("Linux", "n", "6.1", "v", "x86_64", "d" * 100)) == structs.UTSNAME_SIZE
    assert len(structs.pack_sysinfo(1, 2, 3, 4)) == structs.SYSINFO_SIZE
    assert len(structs.pack_statfs(1, 2, 3, 4, 5, 6)) == structs.STATFS_SIZE
    assert struct.unpack_from("<Q", structs.pack_siginfo(11, 1, structs.siginfo_fault(0xDEAD)), 16) == (0xDEAD,)
    assert structs.unpack_iovecs(struct.pack("<4Q", 1, 2, 3, 4)) == [(1, 2), (3, 4)]
    assert structs.unpack_flock(structs.pack_flock(1, 0, 5, 6, 7)) == (1, 0, 5, 6, 7)
