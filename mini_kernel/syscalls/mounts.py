"""File systems as a whole: statfs(2), ustat(2), and what would change the tree of mounts, which nobody here may."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Inode
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import AT_FDCWD, inode_at
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import EINVAL, EOPNOTSUPP, EPERM
from mini_kernel.uapi.fcntl import AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, ST_NOSUID, ST_VALID
from mini_kernel.uapi.numbers import (
    SYS_fstatfs,
    SYS_mount,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_pivot_root,
    SYS_statfs,
    SYS_umount2,
    SYS_ustat,
)
from mini_kernel.uapi.structs import pack_statfs
from mini_kernel.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_USTAT: Final = struct.Struct("<i4xQ6s6s4x")
_UMOUNT_FLAGS: Final = 15  # MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW
_UMOUNT_NOFOLLOW: Final = 8


def _statfs(k: "Kernel", t: "Task", inode: Inode, buf: int) -> int:
    frames = k.frames
    free = frames.available()
    uaccess.write(
        t.mm, buf,
        pack_statfs(inode.magic, PAGE_SIZE, frames.total, free, frames.total, free, ST_VALID | ST_NOSUID),
    )  # fmt: skip
    return 0


@syscall(SYS_statfs)
def sys_statfs(k: "Kernel", t: "Task", path: int, buf: int) -> int:
    """statfs(2): files live in RAM, so its size is theirs."""
    return _statfs(k, t, inode_at(t, AT_FDCWD, path, True), buf)


@syscall(SYS_fstatfs)
def sys_fstatfs(k: "Kernel", t: "Task", fd: int, buf: int) -> int:
    """fstatfs(2)."""
    return _statfs(k, t, t.files.get(fd).inode, buf)


@syscall(SYS_ustat)
def sys_ustat(k: "Kernel", t: "Task", device: int, buf: int) -> int:
    """ustat(2), of a device that stat(2) shows."""
    if u32(device) not in k.vfs.devices:
        raise SysError(EINVAL)
    free = k.frames.available()
    uaccess.write(t.mm, buf, _USTAT.pack(free & 0x7FFF_FFFF, free, b"", b""))
    return 0


# -- what needs CAP_SYS_ADMIN or CAP_DAC_READ_SEARCH ------------------------------------------------------


@syscall(SYS_mount)
def sys_mount(k: "Kernel", t: "Task", source: int, target: int, kind: int, flags: int, data: int) -> int:
    """mount(2): EPERM, once the target is found."""
    for name in (kind, source):
        if name:
            uaccess.read_cstr(t.mm, name)
    inode_at(t, AT_FDCWD, target, True)
    raise SysError(EPERM)


@syscall(SYS_umount2)
def sys_umount2(k: "Kernel", t: "Task", target: int, flags: int) -> int:
    """umount2(2): EPERM, once the target is found."""
    flags = u32(flags)
    if flags & ~_UMOUNT_FLAGS:
        raise SysError(EINVAL)
    inode_at(t, AT_FDCWD, target, not flags & _UMOUNT_NOFOLLOW)
    raise SysError(EPERM)


@syscall(SYS_pivot_root)
def sys_pivot_root(k: "Kernel", t: "Task", new: int, old: int) -> int:
    """pivot_root(2): EPERM."""
    raise SysError(EPERM)


@syscall(SYS_name_to_handle_at)
def sys_name_to_handle_at(k: "Kernel", t: "Task", dirfd: int, path: int, handle: int, mount: int, flags: int) -> int:
    """name_to_handle_at(2): no file system here has handles."""
    flags = u32(flags)
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    inode_at(t, dirfd, path, bool(flags & AT_SYMLINK_FOLLOW), flags)
    raise SysError(EOPNOTSUPP)


@syscall(SYS_open_by_handle_at)
def sys_open_by_handle_at(k: "Kernel", t: "Task", mount: int, handle: int, flags: int) -> int:
    """open_by_handle_at(2): EPERM."""
    raise SysError(EPERM)
