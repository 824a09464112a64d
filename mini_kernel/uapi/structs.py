"""Byte layouts of the structures that system calls read and write, x86-64.

Source: the kernel's asm/stat.h, linux/stat.h, linux/resource.h, asm-generic/siginfo.h, asm/statfs.h, linux/utsname.h.
All little-endian. Times are nanoseconds since the epoch unless said.
"""

from struct import Struct
from typing import Final, NamedTuple

NSEC_PER_SEC: Final = 1_000_000_000

STAT_SIZE: Final = 144
STATX_SIZE: Final = 256
STATFS_SIZE: Final = 120
RUSAGE_SIZE: Final = 144
UTSNAME_SIZE: Final = 390
SIGINFO_SIZE: Final = 128
SYSINFO_SIZE: Final = 112

_STAT = Struct("<QQQIIIIQqqqqqqqqq24x")
_STATX = Struct("<IIQIIIHxxQQQQ64xIIIIQ104x")
_STATX_TIME = Struct("<qIi")
_STATFS = Struct("<qqQQQQQiiqqq32x")
_TIMES = Struct("<qq")
_RUSAGE = Struct("<18q")
_RLIMIT = Struct("<QQ")
_SIGINFO = Struct("<iii4x")
_SYSINFO = Struct("<q3Q6QHHxxxxQQI4x")
_FLOCK = Struct("<hhxxxxqqixxxx")
_IOVEC = Struct("<QQ")
_DIRENT = Struct("<QqH")
_DIRENT64 = Struct("<QqHB")


class Stat(NamedTuple):
    """What stat(2) and statx(2) tell about an inode. Times in ns, `blocks` in units of 512 bytes."""

    ino: int
    mode: int
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    size: int = 0
    blksize: int = 4096
    blocks: int = 0
    atime: int = 0
    mtime: int = 0
    ctime: int = 0
    dev: int = 1
    btime: int = 0

    def pack(self) -> bytes:
        """struct stat, 144 bytes."""
        ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atime, mtime, ctime, dev, _btime = self
        return _STAT.pack(
            dev, ino, nlink, mode, uid, gid, 0, rdev, size, blksize, blocks,
            atime // NSEC_PER_SEC, atime % NSEC_PER_SEC, mtime // NSEC_PER_SEC, mtime % NSEC_PER_SEC,
            ctime // NSEC_PER_SEC, ctime % NSEC_PER_SEC,
        )  # fmt: skip

    def pack_statx(self, mask: int) -> bytes:
        """struct statx, 256 bytes; `mask` is the stx_mask to report."""
        head = bytearray(
            _STATX.pack(
                mask, self.blksize, 0, self.nlink, self.uid, self.gid, self.mode, self.ino, self.size, self.blocks, 0,
                self.rdev >> 8, self.rdev & 0xFF, self.dev >> 8, self.dev & 0xFF, 0,
            )
        )  # fmt: skip
        for offset, time in ((64, self.atime), (80, self.btime), (96, self.ctime), (112, self.mtime)):
            _STATX_TIME.pack_into(head, offset, *divmod(time, NSEC_PER_SEC), 0)
        return bytes(head)


def pack_statfs(magic: int, bsize: int, blocks: int, bfree: int, files: int, ffree: int, flags: int = 0) -> bytes:
    """struct statfs, 120 bytes; blocks in units of `bsize`."""
    return _STATFS.pack(magic, bsize, blocks, bfree, bfree, files, ffree, 0, 0, 255, bsize, flags)


def pack_timespec(ns: int) -> bytes:
    """struct timespec (16 bytes) of a time or duration in nanoseconds."""
    return _TIMES.pack(*divmod(ns, NSEC_PER_SEC))


def unpack_timespec(data: bytes) -> tuple[int, int]:
    """(seconds, nanoseconds) as given, unchecked: a caller tests 0 <= ns < 10**9."""
    return _TIMES.unpack(data)


def pack_timeval(ns: int) -> bytes:
    """struct timeval (16 bytes) of a time or duration in nanoseconds."""
    seconds, rest = divmod(ns, NSEC_PER_SEC)
    return _TIMES.pack(seconds, rest // 1000)


def unpack_timeval(data: bytes) -> tuple[int, int]:
    """(seconds, microseconds) as given, unchecked."""
    return _TIMES.unpack(data)


def pack_rusage(
    utime: int, stime: int, maxrss_kib: int, minflt: int, majflt: int = 0, nvcsw: int = 0, nivcsw: int = 0
) -> bytes:
    """struct rusage, 144 bytes; utime and stime in ns."""
    user, system = divmod(utime, NSEC_PER_SEC), divmod(stime, NSEC_PER_SEC)
    return _RUSAGE.pack(
        user[0], user[1] // 1000, system[0], system[1] // 1000, maxrss_kib, 0, 0, 0, minflt, majflt, 0, 0, 0, 0, 0, 0,
        nvcsw, nivcsw,
    )  # fmt: skip


def pack_utsname(sysname: str, nodename: str, release: str, version: str, machine: str, domain: str) -> bytes:
    """struct new_utsname: six fields of 65 bytes, 390 in all."""
    fields = (sysname, nodename, release, version, machine, domain)
    return b"".join(field.encode()[:64].ljust(65, b"\0") for field in fields)


def pack_rlimit(soft: int, hard: int) -> bytes:
    """struct rlimit64, 16 bytes; RLIM_INFINITY is all ones."""
    return _RLIMIT.pack(soft, hard)


def unpack_rlimit(data: bytes) -> tuple[int, int]:
    """(soft, hard)."""
    return _RLIMIT.unpack(data)


def pack_sysinfo(uptime_s: int, total: int, free: int, procs: int, loads: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """struct sysinfo, 112 bytes; total and free RAM in bytes."""
    return _SYSINFO.pack(uptime_s, *loads, total, free, 0, 0, 0, 0, procs, 0, 0, 0, 1)


def pack_siginfo(signo: int, code: int, fields: bytes = b"", errno: int = 0) -> bytes:
    """siginfo_t, 128 bytes: the common head, then `fields`, the union from offset 16."""
    return (_SIGINFO.pack(signo, errno, code) + fields).ljust(SIGINFO_SIZE, b"\0")


def siginfo_kill(pid: int, uid: int, value: int = 0) -> bytes:
    """Union for SI_USER, SI_TKILL and SI_QUEUE: si_pid, si_uid, si_value."""
    return Struct("<iIQ").pack(pid, uid, value)


def siginfo_timer(timer_id: int, overrun: int, value: int) -> bytes:
    """Union for SI_TIMER: si_tid, si_overrun, si_value."""
    return Struct("<iiQ").pack(timer_id, overrun, value)


def siginfo_child(pid: int, uid: int, status: int, utime: int = 0, stime: int = 0) -> bytes:
    """Union for SIGCHLD: si_pid, si_uid, si_status, si_utime, si_stime (clock ticks)."""
    return Struct("<iIi4xqq").pack(pid, uid, status, utime, stime)


def siginfo_fault(address: int) -> bytes:
    """Union for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP: si_addr."""
    return Struct("<Q").pack(address)


def siginfo_poll(band: int, fd: int) -> bytes:
    """Union for SIGIO: si_band, si_fd."""
    return Struct("<qi").pack(band, fd)


def unpack_iovecs(data: bytes) -> list[tuple[int, int]]:
    """(base, length) of each struct iovec in `data` (16 bytes each)."""
    return list(_IOVEC.iter_unpack(data))


FLOCK_SIZE: Final = _FLOCK.size


def pack_flock(type_: int, whence: int, start: int, length: int, pid: int) -> bytes:
    """struct flock, 32 bytes."""
    return _FLOCK.pack(type_, whence, start, length, pid)


def unpack_flock(data: bytes) -> tuple[int, int, int, int, int]:
    """(type, whence, start, length, pid)."""
    return _FLOCK.unpack(data)


def pack_dirent64(ino: int, offset: int, kind: int, name: bytes) -> bytes:
    """struct linux_dirent64 of getdents64(2): d_ino, d_off, d_reclen, d_type, d_name; padded to 8 bytes."""
    size = (19 + len(name) + 1 + 7) & ~7
    return (_DIRENT64.pack(ino, offset, size, kind) + name).ljust(size, b"\0")


def pack_dirent(ino: int, offset: int, kind: int, name: bytes) -> bytes:
    """struct linux_dirent of getdents(2): d_ino, d_off, d_reclen, d_name, padding, and d_type as the last byte."""
    size = (18 + len(name) + 2 + 7) & ~7
    return (_DIRENT.pack(ino, offset, size) + name).ljust(size - 1, b"\0") + bytes((kind,))


def makedev(major: int, minor: int) -> int:
    """dev_t of a device (Linux new_encode_dev)."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
