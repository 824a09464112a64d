"""Names: directories, links, renaming, the working directory."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.fs import namei
from mini_kernel.fs.file import DirectoryOpen
from mini_kernel.fs.inode import Directory, Inode, Symlink
from mini_kernel.fs.path import MAY_EXEC, is_below, path_of, require, walk
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import base_of, file_of, inode_at, read_path
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.uapi.errno import EINVAL, ENOENT, ENOTDIR, EPERM, ERANGE
from mini_kernel.uapi.fcntl import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    S_IFMT,
)
from mini_kernel.uapi.inotify import IN_ACCESS
from mini_kernel.uapi.numbers import (
    SYS_chdir,
    SYS_chroot,
    SYS_fchdir,
    SYS_getcwd,
    SYS_getdents,
    SYS_getdents64,
    SYS_link,
    SYS_linkat,
    SYS_mkdir,
    SYS_mkdirat,
    SYS_mknod,
    SYS_mknodat,
    SYS_readlink,
    SYS_readlinkat,
    SYS_rename,
    SYS_renameat,
    SYS_renameat2,
    SYS_rmdir,
    SYS_symlink,
    SYS_symlinkat,
    SYS_umask,
    SYS_unlink,
    SYS_unlinkat,
)
from mini_kernel.uapi.structs import pack_dirent, pack_dirent64

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task


# -- reading --------------------------------------------------------------------------------------------


def _list(t: "Task", fd: int, buf: int, count: int, pack: Callable[[int, int, int, bytes], bytes]) -> int:
    """Entries of a directory, as many as fit into `count` bytes. Raises SysError(EINVAL) if that is not one."""
    file = file_of(t, fd)
    if not isinstance(file, DirectoryOpen):
        raise SysError(ENOTDIR)
    room, at = u32(count), file.pos
    records: list[bytes] = []
    for position, name, inode in file.entries(t):
        record = pack(inode.ino, position, (inode.mode & S_IFMT) >> 12, name)
        room -= len(record)
        if room < 0:
            if not records:
                raise SysError(EINVAL)
            break
        records.append(record)
        at = position
    uaccess.write(t.mm, buf, b"".join(records))
    file.pos = at
    file.inode.accessed(file.flags)
    file.inode.tell(IN_ACCESS)
    return sum(map(len, records))


@syscall(SYS_getdents64)
def sys_getdents64(k: "Kernel", t: "Task", fd: int, buf: int, count: int) -> int:
    """getdents64(2)."""
    return _list(t, fd, buf, count, pack_dirent64)


@syscall(SYS_getdents)
def sys_getdents(k: "Kernel", t: "Task", fd: int, buf: int, count: int) -> int:
    """getdents(2): the same, with d_type behind the name."""
    return _list(t, fd, buf, count, pack_dirent)


@syscall(SYS_readlinkat)
def sys_readlinkat(k: "Kernel", t: "Task", dirfd: int, path: int, buf: int, size: int) -> int:
    """readlinkat(2); an empty path names the link that `dirfd` itself stands for (O_PATH|O_NOFOLLOW)."""
    if s32(size) <= 0:
        raise SysError(EINVAL)
    name = read_path(t, path)
    if name:
        inode: Inode | None = walk(t, name, base_of(t, dirfd, name), False).inode
    else:
        inode = None if s32(dirfd) == AT_FDCWD else t.files.get(dirfd).inode
    if inode is None or (not name and not isinstance(inode, Symlink)):
        raise SysError(ENOENT)
    if not isinstance(inode, Symlink):
        raise SysError(EINVAL)
    target = inode.read_target(t)[: s32(size)]
    uaccess.write(t.mm, buf, target)
    return len(target)


@syscall(SYS_readlink)
def sys_readlink(k: "Kernel", t: "Task", path: int, buf: int, size: int) -> int:
    """readlink(2)."""
    return sys_readlinkat(k, t, AT_FDCWD, path, buf, size)


# -- where a process stands -----------------------------------------------------------------------------


@syscall(SYS_getcwd)
def sys_getcwd(k: "Kernel", t: "Task", buf: int, size: int) -> int:
    """getcwd(2): the length with the final zero byte."""
    path = path_of(t.fs.cwd, t.fs.root) + b"\0"
    if not is_below(t.fs.cwd, t.fs.root):
        path = b"(unreachable)" + path
    if len(path) > size:
        raise SysError(ERANGE)
    uaccess.write(t.mm, buf, path)
    return len(path)


def _enter(t: "Task", inode: Inode) -> Directory:
    if not isinstance(inode, Directory):
        raise SysError(ENOTDIR)
    require(inode, MAY_EXEC, t.fs)
    return inode


@syscall(SYS_chdir)
def sys_chdir(k: "Kernel", t: "Task", path: int) -> int:
    """chdir(2)."""
    t.fs.cwd = _enter(t, inode_at(t, AT_FDCWD, path, True))
    return 0


@syscall(SYS_fchdir)
def sys_fchdir(k: "Kernel", t: "Task", fd: int) -> int:
    """fchdir(2)."""
    t.fs.cwd = _enter(t, t.files.get(fd).inode)
    return 0


@syscall(SYS_chroot)
def sys_chroot(k: "Kernel", t: "Task", path: int) -> int:
    """chroot(2), for uid 0."""
    root = _enter(t, inode_at(t, AT_FDCWD, path, True))
    if t.fs.uid:
        raise SysError(EPERM)
    t.fs.root = root
    return 0


@syscall(SYS_umask)
def sys_umask(k: "Kernel", t: "Task", mask: int) -> int:
    """umask(2)."""
    old, t.fs.umask = t.fs.umask, mask & 0o777
    return old


# -- making names ---------------------------------------------------------------------------------------


@syscall(SYS_mkdirat)
def sys_mkdirat(k: "Kernel", t: "Task", dirfd: int, address: int, mode: int) -> int:
    """mkdirat(2)."""
    path = read_path(t, address)
    namei.make_directory(t, path, mode, base_of(t, dirfd, path))
    return 0


@syscall(SYS_mkdir)
def sys_mkdir(k: "Kernel", t: "Task", address: int, mode: int) -> int:
    """mkdir(2)."""
    return sys_mkdirat(k, t, AT_FDCWD, address, mode)


@syscall(SYS_mknodat)
def sys_mknodat(k: "Kernel", t: "Task", dirfd: int, address: int, mode: int, device: int) -> int:
    """mknodat(2): regular files, FIFOs, character devices."""
    path, device = read_path(t, address), u32(device)
    numbers = (device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00)
    k.vfs.make_node(t, path, u32(mode), numbers, base_of(t, dirfd, path))
    return 0


@syscall(SYS_mknod)
def sys_mknod(k: "Kernel", t: "Task", address: int, mode: int, device: int) -> int:
    """mknod(2)."""
    return sys_mknodat(k, t, AT_FDCWD, address, mode, device)


@syscall(SYS_symlinkat)
def sys_symlinkat(k: "Kernel", t: "Task", target: int, dirfd: int, address: int) -> int:
    """symlinkat(2)."""
    content, path = read_path(t, target), read_path(t, address)
    namei.symlink(t, content, path, base_of(t, dirfd, path))
    return 0


@syscall(SYS_symlink)
def sys_symlink(k: "Kernel", t: "Task", target: int, address: int) -> int:
    """symlink(2)."""
    return sys_symlinkat(k, t, target, AT_FDCWD, address)


@syscall(SYS_linkat)
def sys_linkat(k: "Kernel", t: "Task", old_fd: int, old: int, new_fd: int, new: int, flags: int) -> int:
    """linkat(2)."""
    if u32(flags) & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise SysError(EINVAL)
    inode = inode_at(t, old_fd, old, bool(flags & AT_SYMLINK_FOLLOW), flags)
    path = read_path(t, new)
    namei.link(t, inode, path, base_of(t, new_fd, path))
    return 0


@syscall(SYS_link)
def sys_link(k: "Kernel", t: "Task", old: int, new: int) -> int:
    """link(2)."""
    return sys_linkat(k, t, AT_FDCWD, old, AT_FDCWD, new, 0)


# -- removing and renaming ------------------------------------------------------------------------------


@syscall(SYS_unlinkat)
def sys_unlinkat(k: "Kernel", t: "Task", dirfd: int, address: int, flags: int) -> int:
    """unlinkat(2)."""
    if u32(flags) & ~AT_REMOVEDIR:
        raise SysError(EINVAL)
    path = read_path(t, address)
    remove = namei.rmdir if flags & AT_REMOVEDIR else namei.unlink
    remove(t, path, base_of(t, dirfd, path))
    return 0


@syscall(SYS_unlink)
def sys_unlink(k: "Kernel", t: "Task", address: int) -> int:
    """unlink(2)."""
    return sys_unlinkat(k, t, AT_FDCWD, address, 0)


@syscall(SYS_rmdir)
def sys_rmdir(k: "Kernel", t: "Task", address: int) -> int:
    """rmdir(2)."""
    return sys_unlinkat(k, t, AT_FDCWD, address, AT_REMOVEDIR)


@syscall(SYS_renameat2)
def sys_renameat2(k: "Kernel", t: "Task", old_fd: int, old: int, new_fd: int, new: int, flags: int) -> int:
    """renameat2(2)."""
    flags = u32(flags)
    others = RENAME_NOREPLACE | RENAME_WHITEOUT
    if flags & ~(others | RENAME_EXCHANGE) or (flags & others and flags & RENAME_EXCHANGE):
        raise SysError(EINVAL)
    if flags & RENAME_WHITEOUT and t.fs.uid:
        raise SysError(EPERM)
    source, target = read_path(t, old), read_path(t, new)
    namei.rename(t, source, target, base_of(t, old_fd, source), base_of(t, new_fd, target), flags)
    return 0


@syscall(SYS_renameat)
def sys_renameat(k: "Kernel", t: "Task", old_fd: int, old: int, new_fd: int, new: int) -> int:
    """renameat(2)."""
    return sys_renameat2(k, t, old_fd, old, new_fd, new, 0)


@syscall(SYS_rename)
def sys_rename(k: "Kernel", t: "Task", old: int, new: int) -> int:
    """rename(2)."""
    return sys_renameat2(k, t, AT_FDCWD, old, AT_FDCWD, new, 0)
