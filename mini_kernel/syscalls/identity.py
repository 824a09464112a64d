"""Who and what the system is: uname, ids, limits, random bytes, arch_prctl, prctl."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.proc import facts
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import UNLIMITED
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import ODF_ACTIVE, ODF_ARMED, Task
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
from mini_kernel.uapi.prctl import (
    ARCH_GET_FS,
    ARCH_GET_GS,
    ARCH_SET_FS,
    ARCH_SET_GS,
    PR_CAPBSET_READ,
    PR_GET_CHILD_SUBREAPER,
    PR_GET_DUMPABLE,
    PR_GET_KEEPCAPS,
    PR_GET_NAME,
    PR_GET_NO_NEW_PRIVS,
    PR_GET_PDEATHSIG,
    PR_GET_SECCOMP,
    PR_GET_SECUREBITS,
    PR_GET_THP_DISABLE,
    PR_GET_TID_ADDRESS,
    PR_GET_TIMERSLACK,
    PR_GET_TSC,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NAME,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_ODF,
    PR_SET_PDEATHSIG,
    PR_SET_TIMERSLACK,
    PR_TSC_ENABLE,
)
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

_LAST_CAPABILITY: Final = 40  # CAP_CHECKPOINT_RESTORE
_TIMER_SLACK_NS: Final = 50_000
_MM_LIMITS: Final = {
    RLIMIT_AS: "address_space",
    RLIMIT_DATA: "data",
    RLIMIT_MEMLOCK: "locked",
    RLIMIT_STACK: "stack",
}


@syscall(SYS_uname)
def sys_uname(k: "Kernel", t: Task, address: int) -> int:
    """uname(2)."""
    names = facts.SYSNAME, facts.NODENAME, facts.RELEASE, facts.VERSION, "x86_64", "(none)"
    uaccess.write(t.mm, address, structs.pack_utsname(*names))
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


# -- prctl -------------------------------------------------------------------------------------------


def _require(condition: bool) -> None:
    if not condition:
        raise SysError(EINVAL)


def _arm_odf(t: Task, arguments: tuple[int, ...]) -> int:
    """The next fork of this process is on-demand (F1). Raises SysError(EINVAL) once its forks are (F2)."""
    _require(not any(arguments) and t.process.odf != ODF_ACTIVE)
    t.process.odf = ODF_ARMED
    return 0


def _set_name(t: Task, arguments: tuple[int, ...]) -> int:
    t.name = uaccess.read_cstr(t.mm, arguments[0], 4096)[:15].decode("utf-8", "replace")
    return 0


def _get_name(t: Task, arguments: tuple[int, ...]) -> int:
    uaccess.write(t.mm, arguments[0], t.name.encode()[:15].ljust(16, b"\0"))
    return 0


def _set_no_new_privileges(t: Task, arguments: tuple[int, ...]) -> int:
    _require(arguments == (1, 0, 0, 0))
    t.fs.no_new_privileges = True
    return 0


def _get_no_new_privileges(t: Task, arguments: tuple[int, ...]) -> int:
    _require(not any(arguments))
    return int(t.fs.no_new_privileges)


def _has_capability(t: Task, arguments: tuple[int, ...]) -> int:
    """PR_CAPBSET_READ: nothing is ever dropped from the bounding set."""
    _require(arguments[0] <= _LAST_CAPABILITY)
    return 1


def _store_int(value: int) -> Callable[[Task, tuple[int, ...]], int]:
    def store(t: Task, arguments: tuple[int, ...]) -> int:
        uaccess.write_u32(t.mm, arguments[0], value)
        return 0

    return store


def _get_tid_address(t: Task, arguments: tuple[int, ...]) -> int:
    uaccess.write_u64(t.mm, arguments[0], t.clear_child_tid)
    return 0


def _constant(value: int) -> Callable[[Task, tuple[int, ...]], int]:
    """An option that reads what never changes."""
    return lambda t, arguments: value


def _only(*values: int) -> Callable[[Task, tuple[int, ...]], int]:
    """An option that may be set to what it is, and to nothing else."""

    def accept(t: Task, arguments: tuple[int, ...]) -> int:
        _require(arguments[0] in values)
        return 0

    return accept


_OPTIONS: Final[dict[int, Callable[[Task, tuple[int, ...]], int]]] = {
    PR_SET_NAME: _set_name,
    PR_GET_NAME: _get_name,
    PR_SET_ODF: _arm_odf,
    PR_SET_NO_NEW_PRIVS: _set_no_new_privileges,
    PR_GET_NO_NEW_PRIVS: _get_no_new_privileges,
    PR_CAPBSET_READ: _has_capability,
    PR_GET_TID_ADDRESS: _get_tid_address,
    PR_GET_TSC: _store_int(PR_TSC_ENABLE),
    PR_SET_PDEATHSIG: _only(0),
    PR_GET_PDEATHSIG: _store_int(0),
    PR_SET_CHILD_SUBREAPER: _only(0),
    PR_GET_CHILD_SUBREAPER: _store_int(0),
    PR_SET_DUMPABLE: _only(1),
    PR_GET_DUMPABLE: _constant(1),
    PR_SET_TIMERSLACK: _only(0, _TIMER_SLACK_NS),
    PR_GET_TIMERSLACK: _constant(_TIMER_SLACK_NS),
    PR_GET_KEEPCAPS: _constant(0),
    PR_GET_SECCOMP: _constant(0),
    PR_GET_SECUREBITS: _constant(0),
    PR_GET_THP_DISABLE: _constant(0),
}


@syscall(SYS_prctl)
def sys_prctl(k: "Kernel", t: Task, option: int, first: int, second: int, third: int, fourth: int) -> int:
    """prctl(2): the thread's name, on-demand fork, no_new_privs.

    Other options read what is so, and may be set to that only; what they would change does not exist here. Raises
    SysError(EINVAL) for the rest.
    """
    act = _OPTIONS.get(u32(option))
    if act is None:
        raise SysError(EINVAL)
    return act(t, (first, second, third, fourth))


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
