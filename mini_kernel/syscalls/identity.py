"""What the system is, and what one may use of it: uname and its names, the log, limits, random bytes, arch_prctl."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.proc import facts
from mini_kernel.fs.proc.limits import MM_LIMITS
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import UNLIMITED
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.capability import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from mini_kernel.uapi.errno import EFAULT, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.misc import GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM
from mini_kernel.uapi.numbers import (
    SYS_arch_prctl,
    SYS_getrandom,
    SYS_getrlimit,
    SYS_personality,
    SYS_prlimit64,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setrlimit,
    SYS_sysinfo,
    SYS_syslog,
    SYS_uname,
)
from mini_kernel.uapi.prctl import (
    ARCH_GET_FS,
    ARCH_GET_GS,
    ARCH_SET_FS,
    ARCH_SET_GS,
)
from mini_kernel.uapi.resource import (
    RLIM_INFINITY,
    RLIM_NLIMITS,
    RLIMIT_NOFILE,
)
from mini_kernel.wait import Block
from mini_kernel.x86 import PAGE_SHIFT, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_MAX_NAME: Final = 64  # of a host or domain
UNAME26: Final = 0x20000  # a personality for programs that cannot believe in Linux 3
_OLD_RELEASE: Final = f"2.6.{int(facts.RELEASE.split('.')[1]) + 60}"
MAX_FILES: Final = 1 << 20  # /proc/sys/fs/nr_open
_LOG_READ, _LOG_LEVEL, _LOG_SIZE_BUFFER = 2, 8, 10  # SYSLOG_ACTION_*
_LOG_READS: Final = (2, 3, 4)
_LOG_ACTIONS: Final = range(11)
_LOG_SIZE: Final = 1 << 18


@syscall(SYS_uname)
def sys_uname(k: "Kernel", t: Task, address: int) -> int:
    """uname(2)."""
    release = _OLD_RELEASE if t.personality & UNAME26 else facts.RELEASE
    names = facts.SYSNAME, k.nodename, release, facts.VERSION, "x86_64", k.domainname
    uaccess.write(t.mm, address, structs.pack_utsname(*names))
    return 0


@syscall(SYS_getrandom)
def sys_getrandom(k: "Kernel", t: Task, address: int, count: int, flags: int) -> int:
    """getrandom(2): the system's seeded generator."""
    if u32(flags) & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE):
        raise SysError(EINVAL)
    done = 0
    count = min(count, 0x1FF_FFFF)
    try:
        for chunk in uaccess.chunks(t.mm, address, count, True):
            chunk[:] = k.random.randbytes(len(chunk))
            done += len(chunk)
    except SysError:
        if not done:
            raise
    return done


@syscall(SYS_arch_prctl)
def sys_arch_prctl(k: "Kernel", t: Task, code: int, address: int) -> int:
    """arch_prctl(2): the FS and GS bases."""
    code = u32(code)
    if code in (ARCH_SET_FS, ARCH_SET_GS) and address >= TASK_SIZE:
        raise SysError(EPERM)
    if code == ARCH_SET_FS:
        k.cpu.fs_base = address
    elif code == ARCH_SET_GS:
        k.cpu.gs_base = address
    elif code in (ARCH_GET_FS, ARCH_GET_GS):
        uaccess.write_u64(t.mm, address, k.cpu.fs_base if code == ARCH_GET_FS else k.cpu.gs_base)
    else:
        raise SysError(EINVAL)
    return 0


# -- the machine ------------------------------------------------------------------------------------


@syscall(SYS_sysinfo)
def sys_sysinfo(k: "Kernel", t: Task, address: int) -> int:
    """sysinfo(2)."""
    uptime = k.clock.now_ns() // 1_000_000_000
    total, free = k.frames.total << PAGE_SHIFT, k.frames.available() << PAGE_SHIFT
    uaccess.write(t.mm, address, structs.pack_sysinfo(uptime, total, free, len(k.tasks)))
    return 0


def _read_name(t: Task, address: int, length: int) -> str:
    if not t.cred.can(CAP_SYS_ADMIN):
        raise SysError(EPERM)
    if not 0 <= s32(length) <= _MAX_NAME:
        raise SysError(EINVAL)
    return uaccess.read(t.mm, address, s32(length)).decode("latin-1").split("\0")[0]


@syscall(SYS_sethostname)
def sys_sethostname(k: "Kernel", t: Task, address: int, length: int) -> int:
    """sethostname(2)."""
    k.nodename = _read_name(t, address, length)
    return 0


@syscall(SYS_setdomainname)
def sys_setdomainname(k: "Kernel", t: Task, address: int, length: int) -> int:
    """setdomainname(2)."""
    k.domainname = _read_name(t, address, length)
    return 0


@syscall(SYS_personality)
def sys_personality(k: "Kernel", t: Task, persona: int) -> int:
    """personality(2): the one before. Addresses are never random here, so ADDR_NO_RANDOMIZE changes nothing."""
    before = t.personality
    if u32(persona) != 0xFFFF_FFFF:
        t.personality = u32(persona)
    return before


@syscall(SYS_syslog)
def sys_syslog(k: "Kernel", t: Task, action: int, address: int, length: int) -> int:
    """syslog(2): the kernel's log, which is empty."""
    kind = s32(action)
    if kind in _LOG_READS:
        if not address or s32(length) < 0:
            raise SysError(EINVAL)
        if kind == _LOG_READ and s32(length):
            raise Block()  # for a message that does not come
        return 0
    if kind == _LOG_LEVEL and not 1 <= s32(length) <= 8:
        raise SysError(EINVAL)
    if kind not in _LOG_ACTIONS:
        raise SysError(EINVAL)
    return _LOG_SIZE if kind == _LOG_SIZE_BUFFER else 0


# -- limits ------------------------------------------------------------------------------------------


def _limit(t: Task, resource: int) -> tuple[int, int]:
    if resource in MM_LIMITS:
        soft: int = getattr(t.mm.limits, MM_LIMITS[resource])
        return soft, t.process.rlimits.get(resource, (0, RLIM_INFINITY))[1]
    return t.process.rlimits.get(resource, (RLIM_INFINITY, RLIM_INFINITY))


def _set_limit(t: Task, target: Task, resource: int, soft: int, hard: int) -> None:
    """Raises SysError EINVAL, EPERM: only a privileged caller raises a hard limit."""
    if soft > hard:
        raise SysError(EINVAL)
    if resource == RLIMIT_NOFILE and hard > MAX_FILES:
        raise SysError(EPERM)
    if hard > _limit(target, resource)[1] and not t.cred.can(CAP_SYS_RESOURCE):
        raise SysError(EPERM)
    if resource == RLIMIT_NOFILE:
        target.files.limit = soft
    target.process.rlimits[resource] = (soft, hard)
    if resource in MM_LIMITS:
        setattr(target.mm.limits, MM_LIMITS[resource], min(soft, UNLIMITED))


def _may_limit(t: Task, target: Task) -> bool:
    """True if the caller is the target's user in every respect, or may do anything (Linux check_prlimit_permission)."""
    mine, its = t.cred, target.cred
    same = {mine.ruid} == set(its.uids) and {mine.rgid} == set(its.gids)
    return target.process is t.process or same or mine.can(CAP_SYS_RESOURCE)


@syscall(SYS_prlimit64)
def sys_prlimit64(k: "Kernel", t: Task, pid: int, resource: int, new: int, old: int) -> int:
    """prlimit(2)."""
    number, ident = u32(resource), s32(pid)
    request = structs.unpack_rlimit(uaccess.read(t.mm, new, 16)) if new else None
    target = k.tasks.get(ident) if ident else t
    if target is None:
        raise SysError(ESRCH)
    if not _may_limit(t, target):
        raise SysError(EPERM)
    if number >= RLIM_NLIMITS:
        raise SysError(EINVAL)
    before = _limit(target, number)
    if request is not None:
        _set_limit(t, target, number, *request)
    if old:
        uaccess.write(t.mm, old, structs.pack_rlimit(*before))
    return 0


@syscall(SYS_getrlimit)
def sys_getrlimit(k: "Kernel", t: Task, resource: int, address: int) -> int:
    """getrlimit(2)."""
    if not address:
        raise SysError(EFAULT)
    return sys_prlimit64(k, t, 0, resource, 0, address)


@syscall(SYS_setrlimit)
def sys_setrlimit(k: "Kernel", t: Task, resource: int, address: int) -> int:
    """setrlimit(2)."""
    if not address:
        raise SysError(EFAULT)
    return sys_prlimit64(k, t, 0, resource, address, 0)
