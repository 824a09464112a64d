"""User and group ids, supplementary groups, capabilities (credentials(7), capabilities(7))."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel import cred
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.capability import (
    LINUX_CAPABILITY_VERSION_1,
    LINUX_CAPABILITY_VERSION_2,
    LINUX_CAPABILITY_VERSION_3,
)
from mini_kernel.uapi.errno import EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import (
    SYS_capget,
    SYS_capset,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getgroups,
    SYS_getresgid,
    SYS_getresuid,
    SYS_getuid,
    SYS_setfsgid,
    SYS_setfsuid,
    SYS_setgid,
    SYS_setgroups,
    SYS_setregid,
    SYS_setresgid,
    SYS_setresuid,
    SYS_setreuid,
    SYS_setuid,
)

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_MAX_GROUPS: Final = 65536
_LOW: Final = 0xFFFF_FFFF
#: How many blocks of (effective, permitted, inheritable) a version of capget(2) has.
_BLOCKS: Final = {LINUX_CAPABILITY_VERSION_1: 1, LINUX_CAPABILITY_VERSION_2: 2, LINUX_CAPABILITY_VERSION_3: 2}


def _become(t: Task, new: cred.Credentials) -> int:
    t.set_cred(new)
    return 0


# -- ids ---------------------------------------------------------------------------------------------


@syscall(SYS_getuid)
def sys_getuid(k: "Kernel", t: Task) -> int:
    """getuid(2)."""
    return t.cred.ruid


@syscall(SYS_geteuid)
def sys_geteuid(k: "Kernel", t: Task) -> int:
    """geteuid(2)."""
    return t.cred.euid


@syscall(SYS_getgid)
def sys_getgid(k: "Kernel", t: Task) -> int:
    """getgid(2)."""
    return t.cred.rgid


@syscall(SYS_getegid)
def sys_getegid(k: "Kernel", t: Task) -> int:
    """getegid(2)."""
    return t.cred.egid


def _three(t: Task, addresses: tuple[int, int, int], values: tuple[int, int, int]) -> int:
    for address, value in zip(addresses, values, strict=True):
        uaccess.write_u32(t.mm, address, value)
    return 0


@syscall(SYS_getresuid)
def sys_getresuid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """getresuid(2)."""
    return _three(t, (real, effective, saved), t.cred.uids)


@syscall(SYS_getresgid)
def sys_getresgid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """getresgid(2)."""
    return _three(t, (real, effective, saved), t.cred.gids)


@syscall(SYS_setuid)
def sys_setuid(k: "Kernel", t: Task, uid: int) -> int:
    """setuid(2)."""
    return _become(t, cred.set_uid(t.cred, u32(uid)))


@syscall(SYS_setgid)
def sys_setgid(k: "Kernel", t: Task, gid: int) -> int:
    """setgid(2)."""
    return _become(t, cred.set_gid(t.cred, u32(gid)))


@syscall(SYS_setreuid)
def sys_setreuid(k: "Kernel", t: Task, real: int, effective: int) -> int:
    """setreuid(2)."""
    return _become(t, cred.set_reuid(t.cred, u32(real), u32(effective)))


@syscall(SYS_setregid)
def sys_setregid(k: "Kernel", t: Task, real: int, effective: int) -> int:
    """setregid(2)."""
    return _become(t, cred.set_regid(t.cred, u32(real), u32(effective)))


@syscall(SYS_setresuid)
def sys_setresuid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """setresuid(2)."""
    return _become(t, cred.set_resuid(t.cred, u32(real), u32(effective), u32(saved)))


@syscall(SYS_setresgid)
def sys_setresgid(k: "Kernel", t: Task, real: int, effective: int, saved: int) -> int:
    """setresgid(2)."""
    return _become(t, cred.set_resgid(t.cred, u32(real), u32(effective), u32(saved)))


@syscall(SYS_setfsuid)
def sys_setfsuid(k: "Kernel", t: Task, uid: int) -> int:
    """setfsuid(2): the id before, whether it changed or not."""
    before = t.cred.fsuid
    if u32(uid) != cred.KEEP:
        t.set_cred(cred.set_fsuid(t.cred, u32(uid)))
    return before


@syscall(SYS_setfsgid)
def sys_setfsgid(k: "Kernel", t: Task, gid: int) -> int:
    """setfsgid(2): the id before, whether it changed or not."""
    before = t.cred.fsgid
    if u32(gid) != cred.KEEP:
        t.set_cred(cred.set_fsgid(t.cred, u32(gid)))
    return before


@syscall(SYS_getgroups)
def sys_getgroups(k: "Kernel", t: Task, size: int, address: int) -> int:
    """getgroups(2)."""
    groups = t.cred.groups
    if s32(size) < 0 or (size and size < len(groups)):
        raise SysError(EINVAL)
    if size:
        uaccess.write(t.mm, address, struct.pack(f"<{len(groups)}I", *groups))
    return len(groups)


@syscall(SYS_setgroups)
def sys_setgroups(k: "Kernel", t: Task, size: int, address: int) -> int:
    """setgroups(2)."""
    count = u32(size)
    cred.set_groups(t.cred, ())  # EPERM before all else
    if count > _MAX_GROUPS:
        raise SysError(EINVAL)
    groups = struct.unpack(f"<{count}I", uaccess.read(t.mm, address, 4 * count)) if count else ()
    if cred.KEEP in groups:
        raise SysError(EINVAL)
    return _become(t, cred.set_groups(t.cred, groups))


# -- capabilities ------------------------------------------------------------------------------------


def _header(t: Task, address: int) -> tuple[int, int]:
    """(blocks, pid); a version that is not known is answered by the best one. Raises SysError EFAULT, EINVAL."""
    version, pid = struct.unpack("<Ii", uaccess.read(t.mm, address, 8))
    if version not in _BLOCKS:
        uaccess.write_u32(t.mm, address, LINUX_CAPABILITY_VERSION_3)
        raise SysError(EINVAL)
    return _BLOCKS[version], pid


@syscall(SYS_capget)
def sys_capget(k: "Kernel", t: Task, header: int, data: int) -> int:
    """capget(2). Without room for data it only tells the version."""
    try:
        blocks, pid = _header(t, header)
    except SysError as error:
        if error.errno == EINVAL and not data:
            return 0
        raise
    if pid < 0:
        raise SysError(EINVAL)
    target = k.tasks.get(pid) if pid else t
    if target is None:
        raise SysError(ESRCH)
    if data:
        sets = target.cred.effective, target.cred.permitted, target.cred.inheritable
        words = [bits >> 32 * block & _LOW for block in range(blocks) for bits in sets]
        uaccess.write(t.mm, data, struct.pack(f"<{len(words)}I", *words))
    return 0


@syscall(SYS_capset)
def sys_capset(k: "Kernel", t: Task, header: int, data: int) -> int:
    """capset(2), of the caller only."""
    blocks, pid = _header(t, header)
    if pid not in (0, t.tid):
        raise SysError(EPERM)
    words = struct.unpack(f"<{3 * blocks}I", uaccess.read(t.mm, data, 12 * blocks))
    effective, permitted, inheritable = (
        sum(words[3 * block + which] << 32 * block for block in range(blocks)) for which in range(3)
    )
    return _become(t, cred.set_capabilities(t.cred, effective, permitted, inheritable))
