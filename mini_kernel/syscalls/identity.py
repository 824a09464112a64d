"""Who and what the system is: uname, ids, limits, random bytes, arch_prctl, prctl."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import UNLIMITED
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import EFAULT, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.misc import GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM
from mini_kernel.uapi.numbers import (
    SYS_arch_prctl,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getgroups,
    SYS_getrandom,
    SYS_getresgid,
    SYS_getresuid,
    SYS_getrlimit,
    SYS_getuid,
    SYS_prctl,
    SYS_prlimit64,
    SYS_sched_getaffinity,
    SYS_setrlimit,
    SYS_sysinfo,
    SYS_uname,
)
from mini_kernel.uapi.prctl import ARCH_GET_FS, ARCH_GET_GS, ARCH_SET_FS, ARCH_SET_GS, PR_GET_NAME, PR_SET_NAME
from mini_kernel.uapi.resource import (
    RLIM_INFINITY,
    RLIM_NLIMITS,
    RLIMIT_AS,
    RLIMIT_DATA,
    RLIMIT_MEMLOCK,
    RLIMIT_NOFILE,
    RLIMIT_STACK,
)
from mini_kernel.x86 import PAGE_SHIFT, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

RELEASE: Final = "6.1.0-cr3lab"
_MM_LIMITS: Final = {
    RLIMIT_AS: "address_space",
    RLIMIT_DATA: "data",
    RLIMIT_MEMLOCK: "locked",
    RLIMIT_STACK: "stack",
}


@syscall(SYS_uname)
def sys_uname(k: "Kernel", t: Task, address: int) -> int:
    """uname(2)."""
    uaccess.write(t.mm, address, structs.pack_utsname("Linux", "cr3lab", RELEASE, "#1 mini_kernel", "x86_64", "(none)"))
    return 0


@syscall(SYS_getuid)
def sys_getuid(k: "Kernel", t: Task) -> int:
    """getuid(2)."""
    return t.fs.uid


@syscall(SYS_geteuid)
def sys_geteuid(k: "Kernel", t: Task) -> int:
    """geteuid(2)."""
    return t.fs.uid


@syscall(SYS_getgid)
def sys_getgid(k: "Kernel", t: Task) -> int:
    """getgid(2)."""
    return t.fs.gid


@syscall(SYS_getegid)
def sys_getegid(k: "Kernel", t: Task) -> int:
    """getegid(2)."""
    return t.fs.gid


@syscall(SYS_getgroups)
def sys_getgroups(k: "Kernel", t: Task, size: int, address: int) -> int:
    """getgroups(2)."""
    groups = t.fs.groups
    if s32(size) < 0 or (size and size < len(groups)):
        raise SysError(EINVAL)
    if size:
        uaccess.write(t.mm, address, b"".join(g.to_bytes(4, "little") for g in groups))
    return len(groups)


def _three(t: Task, addresses: tuple[int, int, int], value: int) -> int:
    for address in addresses:
        uaccess.write_u32(t.mm, address, value)
    return 0


@syscall(SYS_getresuid)
def sys_getresuid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """getresuid(2)."""
    return _three(t, (real, effective, saved), t.fs.uid)


@syscall(SYS_getresgid)
def sys_getresgid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """getresgid(2)."""
    return _three(t, (real, effective, saved), t.fs.gid)


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


@syscall(SYS_prctl)
def sys_prctl(k: "Kernel", t: Task, option: int, argument: int) -> int:
    """prctl(2): the thread's name. Other options do not exist here."""
    if option == PR_SET_NAME:
        t.name = uaccess.read_cstr(t.mm, argument, 4096)[:15].decode("utf-8", "replace")
    elif option == PR_GET_NAME:
        uaccess.write(t.mm, argument, t.name.encode()[:15].ljust(16, b"\0"))
    else:
        raise SysError(EINVAL)
    return 0


@syscall(SYS_sysinfo)
def sys_sysinfo(k: "Kernel", t: Task, address: int) -> int:
    """sysinfo(2)."""
    uptime = k.clock.now_ns() // 1_000_000_000
    total, free = k.frames.total << PAGE_SHIFT, k.frames.available() << PAGE_SHIFT
    uaccess.write(t.mm, address, structs.pack_sysinfo(uptime, total, free, len(k.tasks)))
    return 0


@syscall(SYS_sched_getaffinity)
def sys_sched_getaffinity(k: "Kernel", t: Task, pid: int, size: int, address: int) -> int:
    """sched_getaffinity(2): one CPU."""
    if s32(pid) and s32(pid) not in k.tasks:
        raise SysError(ESRCH)
    if size < 8 or size & 7:
        raise SysError(EINVAL)
    uaccess.write_u64(t.mm, address, 1)
    return 8


# -- limits ------------------------------------------------------------------------------------------


def _limit(t: Task, resource: int) -> tuple[int, int]:
    if resource in _MM_LIMITS:
        soft: int = getattr(t.mm.limits, _MM_LIMITS[resource])
        return soft, t.process.rlimits.get(resource, (0, RLIM_INFINITY))[1]
    return t.process.rlimits.get(resource, (RLIM_INFINITY, RLIM_INFINITY))


def _set_limit(t: Task, resource: int, soft: int, hard: int) -> None:
    if soft > hard:
        raise SysError(EINVAL)
    if resource == RLIMIT_NOFILE:
        if hard > 1 << 20:
            raise SysError(EPERM)
        t.files.limit = soft
    t.process.rlimits[resource] = (soft, hard)
    if resource in _MM_LIMITS:
        setattr(t.mm.limits, _MM_LIMITS[resource], min(soft, UNLIMITED))


@syscall(SYS_prlimit64)
def sys_prlimit64(k: "Kernel", t: Task, pid: int, resource: int, new: int, old: int) -> int:
    """prlimit(2)."""
    number, ident = u32(resource), s32(pid)
    target = k.tasks.get(ident) if ident else t
    if target is None:
        raise SysError(ESRCH)
    if number >= RLIM_NLIMITS:
        raise SysError(EINVAL)
    before = _limit(target, number)
    request = structs.unpack_rlimit(uaccess.read(t.mm, new, 16)) if new else None
    if request is not None:
        _set_limit(target, number, *request)
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
