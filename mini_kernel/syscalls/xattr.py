"""Extended attributes: setxattr(2), getxattr(2), listxattr(2), removexattr(2), of a path, a link or a descriptor.

All files have them but those of /proc. `user.` is for regular files and directories, `trusted.` and `security.` for
uid 0; there are no access control lists.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Inode
from mini_kernel.fs.path import MAY_READ, MAY_WRITE, require
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import AT_FDCWD, file_of, inode_at
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import (
    E2BIG,
    EEXIST,
    EINVAL,
    ENAMETOOLONG,
    ENODATA,
    ENOSPC,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from mini_kernel.uapi.fcntl import S_IFDIR, S_IFMT, S_IFREG, S_ISVTX
from mini_kernel.uapi.inotify import IN_ATTRIB
from mini_kernel.uapi.misc import PROC_SUPER_MAGIC
from mini_kernel.uapi.numbers import (
    SYS_fgetxattr,
    SYS_flistxattr,
    SYS_fremovexattr,
    SYS_fsetxattr,
    SYS_getxattr,
    SYS_lgetxattr,
    SYS_listxattr,
    SYS_llistxattr,
    SYS_lremovexattr,
    SYS_lsetxattr,
    SYS_removexattr,
    SYS_setxattr,
)

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

XATTR_CREATE, XATTR_REPLACE = 1, 2  # linux/xattr.h
_NAME_MAX: Final = 255
_VALUE_MAX: Final = 65536
_TOTAL_MAX: Final = 1 << 20  # bytes of all attributes of one inode: they are not in the machine's RAM
_ACLS: Final = (b"system.posix_acl_access", b"system.posix_acl_default")


def _name(t: "Task", address: int) -> bytes:
    """An attribute's name. Raises SysError EFAULT, ERANGE if it is empty or too long."""
    try:
        name = uaccess.read_cstr(t.mm, address, _NAME_MAX + 1)
    except SysError as error:
        raise SysError(ERANGE if error.errno == ENAMETOOLONG else error.errno) from None
    if not name:
        raise SysError(ERANGE)
    return name


def _check(t: "Task", inode: Inode, name: bytes, write: bool) -> None:
    """Linux xattr_permission, then what the file system knows. Raises SysError EPERM, ENODATA, EACCES, EOPNOTSUPP."""
    refused = EPERM if write else ENODATA
    if name.startswith(b"trusted."):
        if t.fs.uid:
            raise SysError(refused)
    elif name.startswith(b"user."):
        kind = inode.mode & S_IFMT
        if kind not in (S_IFREG, S_IFDIR):
            raise SysError(refused)
        if write and kind == S_IFDIR and inode.mode & S_ISVTX and t.fs.uid not in (0, inode.uid):
            raise SysError(EPERM)
        require(inode, MAY_WRITE if write else MAY_READ, t.fs)
    elif name.startswith(b"security."):
        if write and t.fs.uid:
            raise SysError(EPERM)
    elif name not in _ACLS or write:
        raise SysError(EOPNOTSUPP)
    if inode.magic == PROC_SUPER_MAGIC:
        raise SysError(EOPNOTSUPP)
    if name in (b"user.", b"trusted.", b"security."):
        raise SysError(EINVAL)


def _set(t: "Task", inode: Inode, address: int, value: int, size: int, flags: int) -> int:
    flags = u32(flags)
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise SysError(EINVAL)
    name = _name(t, address)
    if size > _VALUE_MAX:
        raise SysError(E2BIG)
    data = uaccess.read(t.mm, value, size) if size else b""
    _check(t, inode, name, True)
    if name in inode.xattrs:
        if flags & XATTR_CREATE:
            raise SysError(EEXIST)
    elif flags & XATTR_REPLACE:
        raise SysError(ENODATA)
    others = sum(len(n) + len(v) for n, v in inode.xattrs.items() if n != name)
    if others + len(name) + size > _TOTAL_MAX:
        raise SysError(ENOSPC)
    inode.xattrs = {**inode.xattrs, name: data}
    inode.changed()
    inode.tell(IN_ATTRIB)
    return 0


def _give(t: "Task", data: bytes, address: int, size: int) -> int:
    """Hand `data` over if `size` is enough for it; 0 only asks how much it is. Raises SysError(ERANGE)."""
    if size:
        if len(data) > size:
            raise SysError(ERANGE)
        uaccess.write(t.mm, address, data)
    return len(data)


def _get(t: "Task", inode: Inode, address: int, value: int, size: int) -> int:
    name = _name(t, address)
    _check(t, inode, name, False)
    data = inode.xattrs.get(name)
    if data is None:
        raise SysError(ENODATA)
    return _give(t, data, value, size)


def _list(t: "Task", inode: Inode, address: int, size: int) -> int:
    names = [name for name in sorted(inode.xattrs) if not t.fs.uid or not name.startswith(b"trusted.")]
    return _give(t, b"".join(name + b"\0" for name in names), address, size)


def _remove(t: "Task", inode: Inode, address: int) -> int:
    name = _name(t, address)
    _check(t, inode, name, True)
    if name not in inode.xattrs:
        raise SysError(ENODATA)
    inode.xattrs = {n: v for n, v in inode.xattrs.items() if n != name}
    inode.changed()
    inode.tell(IN_ATTRIB)
    return 0


@syscall(SYS_setxattr)
def sys_setxattr(k: "Kernel", t: "Task", path: int, name: int, value: int, size: int, flags: int) -> int:
    """setxattr(2)."""
    return _set(t, inode_at(t, AT_FDCWD, path, True), name, value, size, flags)


@syscall(SYS_lsetxattr)
def sys_lsetxattr(k: "Kernel", t: "Task", path: int, name: int, value: int, size: int, flags: int) -> int:
    """lsetxattr(2)."""
    return _set(t, inode_at(t, AT_FDCWD, path, False), name, value, size, flags)


@syscall(SYS_fsetxattr)
def sys_fsetxattr(k: "Kernel", t: "Task", fd: int, name: int, value: int, size: int, flags: int) -> int:
    """fsetxattr(2)."""
    return _set(t, file_of(t, fd).inode, name, value, size, flags)


@syscall(SYS_getxattr)
def sys_getxattr(k: "Kernel", t: "Task", path: int, name: int, value: int, size: int) -> int:
    """getxattr(2)."""
    return _get(t, inode_at(t, AT_FDCWD, path, True), name, value, size)


@syscall(SYS_lgetxattr)
def sys_lgetxattr(k: "Kernel", t: "Task", path: int, name: int, value: int, size: int) -> int:
    """lgetxattr(2)."""
    return _get(t, inode_at(t, AT_FDCWD, path, False), name, value, size)


@syscall(SYS_fgetxattr)
def sys_fgetxattr(k: "Kernel", t: "Task", fd: int, name: int, value: int, size: int) -> int:
    """fgetxattr(2)."""
    return _get(t, file_of(t, fd).inode, name, value, size)


@syscall(SYS_listxattr)
def sys_listxattr(k: "Kernel", t: "Task", path: int, names: int, size: int) -> int:
    """listxattr(2)."""
    return _list(t, inode_at(t, AT_FDCWD, path, True), names, size)


@syscall(SYS_llistxattr)
def sys_llistxattr(k: "Kernel", t: "Task", path: int, names: int, size: int) -> int:
    """llistxattr(2)."""
    return _list(t, inode_at(t, AT_FDCWD, path, False), names, size)


@syscall(SYS_flistxattr)
def sys_flistxattr(k: "Kernel", t: "Task", fd: int, names: int, size: int) -> int:
    """flistxattr(2)."""
    return _list(t, file_of(t, fd).inode, names, size)


@syscall(SYS_removexattr)
def sys_removexattr(k: "Kernel", t: "Task", path: int, name: int) -> int:
    """removexattr(2)."""
    return _remove(t, inode_at(t, AT_FDCWD, path, True), name)


@syscall(SYS_lremovexattr)
def sys_lremovexattr(k: "Kernel", t: "Task", path: int, name: int) -> int:
    """lremovexattr(2)."""
    return _remove(t, inode_at(t, AT_FDCWD, path, False), name)


@syscall(SYS_fremovexattr)
def sys_fremovexattr(k: "Kernel", t: "Task", fd: int, name: int) -> int:
    """fremovexattr(2)."""
    return _remove(t, file_of(t, fd).inode, name)
