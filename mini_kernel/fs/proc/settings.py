"""/proc/sys: what can be set on Linux, and is fixed here (Linux Documentation/admin-guide/sysctl)."""

from random import Random
from typing import TYPE_CHECKING, Final

from mini_kernel.fs.inode import SuperBlock
from mini_kernel.fs.pipe import MAX_CAPACITY
from mini_kernel.fs.proc.facts import PID_MAX, RELEASE, SYSNAME, VERSION, Make, threads_max
from mini_kernel.fs.proc.node import ProcDirectory, ProcFile, SystemText
from mini_kernel.fs.proc.views import System
from mini_kernel.mm.mm import MAX_MAP_COUNT, MMAP_MIN_ADDR

if TYPE_CHECKING:
    from mini_kernel.fs.inode import Directory

_NGROUPS_MAX: Final = 65536
_LAST_CAPABILITY: Final = 40  # CAP_CHECKPOINT_RESTORE
_NR_OPEN: Final = 1 << 20


def _pid_max(system: System) -> bytes:
    return b"%d\n" % PID_MAX


def _threads_max(system: System) -> bytes:
    return b"%d\n" % threads_max(system.frames.total)


def _ostype(system: System) -> bytes:
    return SYSNAME.encode() + b"\n"


def _osrelease(system: System) -> bytes:
    return RELEASE.encode() + b"\n"


def _version(system: System) -> bytes:
    return VERSION.encode() + b"\n"


def _hostname(system: System) -> bytes:
    return system.nodename.encode("latin-1") + b"\n"


def _overcommit(system: System) -> bytes:
    """0: nothing is reserved before it is touched, but an area larger than all memory is refused."""
    return b"0\n"


def _max_map_count(system: System) -> bytes:
    return b"%d\n" % MAX_MAP_COUNT


def _mmap_min_addr(system: System) -> bytes:
    return b"%d\n" % MMAP_MIN_ADDR


def _nr_hugepages(system: System) -> bytes:
    return b"0\n"


def _pipe_max_size(system: System) -> bytes:
    return b"%d\n" % MAX_CAPACITY


def _domainname(system: System) -> bytes:
    return system.domainname.encode("latin-1") + b"\n"


def _ngroups_max(system: System) -> bytes:
    return b"%d\n" % _NGROUPS_MAX


def _cap_last_cap(system: System) -> bytes:
    return b"%d\n" % _LAST_CAPABILITY


def _core_pattern(system: System) -> bytes:
    return b"core\n"


def _zero(system: System) -> bytes:
    """What is not there or switched off."""
    return b"0\n"


def _one(system: System) -> bytes:
    return b"1\n"


def _entropy(system: System) -> bytes:
    return b"256\n"


def _nr_open(system: System) -> bytes:
    return b"%d\n" % _NR_OPEN


def _file_max(system: System) -> bytes:
    return b"9223372036854775807\n"


#: By directory, then by name.
SETTINGS: Final[dict[bytes, dict[bytes, Make]]] = {
    b"kernel": {
        b"pid_max": _pid_max, b"threads-max": _threads_max, b"ostype": _ostype, b"osrelease": _osrelease,
        b"version": _version, b"hostname": _hostname, b"domainname": _domainname, b"ngroups_max": _ngroups_max,
        b"cap_last_cap": _cap_last_cap, b"core_pattern": _core_pattern, b"core_uses_pid": _zero,
        b"randomize_va_space": _zero, b"dmesg_restrict": _zero,
    },
    b"kernel/random": {b"entropy_avail": _entropy, b"poolsize": _entropy},
    b"vm": {
        b"overcommit_memory": _overcommit, b"max_map_count": _max_map_count, b"mmap_min_addr": _mmap_min_addr,
        b"nr_hugepages": _nr_hugepages, b"swappiness": _zero,
    },
    b"fs": {
        b"pipe-max-size": _pipe_max_size, b"nr_open": _nr_open, b"file-max": _file_max, b"protected_hardlinks": _zero,
        b"protected_symlinks": _zero, b"suid_dumpable": _zero, b"lease-break-time": _one,
    },
}  # fmt: skip


class Uuid(ProcFile):
    """A random UUID (RFC 4122, version 4): another one for each reading, or the one of this boot."""

    def __init__(self, sb: SuperBlock, random: Random | None) -> None:
        super().__init__(sb, 0o444)
        self.fixed = _uuid(random) if random is not None else b""

    def text(self) -> bytes:
        return self.fixed or _uuid(self.sb.random)


def _uuid(random: Random) -> bytes:
    bits = random.getrandbits(128) & ~(0xF << 76 | 3 << 62) | 4 << 76 | 2 << 62
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode() + b"\n"


def build(sb: SuperBlock, system: System) -> "Directory":
    """/proc/sys."""
    root = ProcDirectory(sb, 0o555)
    for group, files in SETTINGS.items():
        directory = root
        for name in group.split(b"/"):
            if name not in directory.nodes:
                directory.add(name, ProcDirectory(sb, 0o555))
            below = directory.nodes[name]
            assert isinstance(below, ProcDirectory)
            directory = below
        for name, make in files.items():
            directory.add(name, SystemText(sb, system, make))
        if group == b"kernel/random":
            early = Random()
            early.setstate(sb.random.getstate())  # nothing is taken from what programs get
            directory.add(b"uuid", Uuid(sb, None))
            directory.add(b"boot_id", Uuid(sb, early))
    return root
