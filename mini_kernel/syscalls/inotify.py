"""inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode
from mini_kernel.fs.inode import Directory
from mini_kernel.fs.inotify import InotifyFile
from mini_kernel.fs.path import MAY_READ, require
from mini_kernel.syscalls.args import AT_FDCWD, file_of, inode_at
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.uapi.errno import EINVAL, ENOTDIR
from mini_kernel.uapi.inotify import (
    IN_ALL_EVENTS,
    IN_CLOEXEC,
    IN_DONT_FOLLOW,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_ISDIR,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_NONBLOCK,
    IN_ONESHOT,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
)
from mini_kernel.uapi.numbers import SYS_inotify_add_watch, SYS_inotify_init, SYS_inotify_init1, SYS_inotify_rm_watch

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_KNOWN: Final = (
    IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK
    | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT
)  # fmt: skip


@syscall(SYS_inotify_init1)
def sys_inotify_init1(k: "Kernel", t: "Task", flags: int) -> int:
    """inotify_init1(2)."""
    flags = u32(flags)
    if flags & ~(IN_CLOEXEC | IN_NONBLOCK):
        raise SysError(EINVAL)
    file = InotifyFile(AnonymousInode(k.vfs.nameless, 0o600), flags)
    return t.files.install(file, bool(flags & IN_CLOEXEC))


@syscall(SYS_inotify_init)
def sys_inotify_init(k: "Kernel", t: "Task") -> int:
    """inotify_init(2)."""
    return sys_inotify_init1(k, t, 0)


@syscall(SYS_inotify_add_watch)
def sys_inotify_add_watch(k: "Kernel", t: "Task", fd: int, path: int, mask: int) -> int:
    """inotify_add_watch(2): the caller must be allowed to read what it watches."""
    mask = u32(mask)
    if not mask & _KNOWN:
        raise SysError(EINVAL)
    file = file_of(t, fd)
    if mask & IN_MASK_ADD and mask & IN_MASK_CREATE:
        raise SysError(EINVAL)
    if not isinstance(file, InotifyFile):
        raise SysError(EINVAL)
    inode = inode_at(t, AT_FDCWD, path, not mask & IN_DONT_FOLLOW)
    if mask & IN_ONLYDIR and not isinstance(inode, Directory):
        raise SysError(ENOTDIR)
    require(inode, MAY_READ, t.fs)
    return file.watch(inode, mask)


@syscall(SYS_inotify_rm_watch)
def sys_inotify_rm_watch(k: "Kernel", t: "Task", fd: int, wd: int) -> int:
    """inotify_rm_watch(2)."""
    file = file_of(t, fd)
    if not isinstance(file, InotifyFile):
        raise SysError(EINVAL)
    file.unwatch(s32(wd))
    return 0
