"""Making, removing and renaming names (Linux fs/namei.c).

Every operation takes the caller, whose root, working directory and rights count, a path, and the directory a relative
path begins at, None for the working directory. All raise SysError, also what the walk raises.
"""

from mini_kernel.errors import SysError
from mini_kernel.fs.device import CharDevice
from mini_kernel.fs.inode import Directory, Inode, RegularFile, Symlink
from mini_kernel.fs.notify import tell_moved, tell_name
from mini_kernel.fs.path import MAY_EXEC, MAY_WRITE, Caller, FsContext, Place, may_delete, require, walk
from mini_kernel.uapi.errno import EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV
from mini_kernel.uapi.fcntl import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, S_ISGID, S_IXGRP
from mini_kernel.uapi.inotify import IN_ATTRIB, IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO


def place_for_new(caller: Caller, path: bytes, base: Directory | None = None, directory: bool = False) -> Place:
    """Where a new name goes. Raises EEXIST if it is taken, ENOENT behind a slash unless it is a directory's."""
    place = walk(caller, path, base, change=True)
    if place.inode is not None:
        raise SysError(EEXIST)
    if place.slash and not directory:
        raise SysError(ENOENT)
    require_growable(place.parent, caller.fs)
    return place


def require_growable(parent: Directory, fs: FsContext) -> None:
    """Raises ENOENT if `parent` takes no names (removed, /proc), EACCES if `fs` must not write to it."""
    if parent.nlink == 0 or parent.fixed:
        raise SysError(ENOENT)
    require(parent, MAY_WRITE | MAY_EXEC, fs)


def adopt(place: Place, inode: Inode, fs: FsContext) -> None:
    """Enter a new inode: its owner is the caller, its group that of a set-group-id directory. SysError(ENOSPC)."""
    parent = place.parent
    parent.sb.require_name()
    inode.uid, inode.gid = fs.uid, fs.gid
    if parent.mode & S_ISGID:
        inode.gid = parent.gid
        if isinstance(inode, Directory):
            inode.mode |= S_ISGID
        elif inode.mode & S_IXGRP and fs.uid and inode.gid != fs.gid and inode.gid not in fs.groups:
            inode.mode &= ~S_ISGID  # a group the caller is not in
    parent.create(place.name, inode)
    parent.add(place.name, inode)
    if parent.watches:
        tell_name(parent, inode, IN_CREATE, place.name)


def create_file(place: Place, mode: int, fs: FsContext) -> RegularFile:
    """A new empty file where a walk found nothing."""
    require_growable(place.parent, fs)
    inode = RegularFile(place.parent.sb, mode & ~fs.umask)
    adopt(place, inode, fs)
    return inode


def make_directory(caller: Caller, path: bytes, mode: int, base: Directory | None = None) -> None:
    """mkdir(2)."""
    place = place_for_new(caller, path, base, directory=True)
    adopt(place, place.parent.subdirectory(mode & 0o1777 & ~caller.fs.umask), caller.fs)


def symlink(caller: Caller, target: bytes, path: bytes, base: Directory | None = None) -> None:
    """symlink(2)."""
    if not target:
        raise SysError(ENOENT)
    place = place_for_new(caller, path, base)
    adopt(place, Symlink(place.parent.sb, target), caller.fs)


def link(caller: Caller, inode: Inode, path: bytes, base: Directory | None = None) -> None:
    """link(2): one more name for `inode`. Raises EPERM for directories, ENOENT for what has no name left, EXDEV."""
    place = place_for_new(caller, path, base)
    if inode.sb is not place.parent.sb:
        raise SysError(EXDEV)
    if isinstance(inode, Directory):
        raise SysError(EPERM)
    if inode.nlink == 0 and not inode.linkable:
        raise SysError(ENOENT)
    place.parent.sb.require_name()
    place.parent.link(place.name, inode)
    place.parent.add(place.name, inode)
    inode.nlink += 1
    inode.changed()
    for watch in inode.watches:
        watch.hear(IN_ATTRIB, 0, b"")
    tell_name(place.parent, inode, IN_CREATE, place.name)


def _require_removable(place: Place, inode: Inode, fs: FsContext) -> None:
    if place.parent.fixed:
        raise SysError(EPERM)
    require(place.parent, MAY_WRITE | MAY_EXEC, fs)
    if not may_delete(place.parent, inode, fs):
        raise SysError(EPERM)
    if isinstance(inode, Directory) and inode.mount:
        raise SysError(EBUSY)


def unlink(caller: Caller, path: bytes, base: Directory | None = None) -> None:
    """unlink(2). Raises EISDIR for directories."""
    place = walk(caller, path, base, change=True)
    inode = place.inode
    if inode is None:
        raise SysError(ENOENT)
    if isinstance(inode, Directory):
        raise SysError(EISDIR)
    if place.slash:
        raise SysError(ENOTDIR)
    _require_removable(place, inode, caller.fs)
    place.parent.drop(place.name, inode)
    place.parent.remove(place.name)
    inode.unlinked()
    tell_name(place.parent, inode, IN_DELETE, place.name)


def rmdir(caller: Caller, path: bytes, base: Directory | None = None) -> None:
    """rmdir(2)."""
    place = walk(caller, path, base, change=True)
    inode = place.inode
    if place.is_special():
        raise SysError({b"": EBUSY, b".": EINVAL, b"..": ENOTEMPTY}[place.name])
    if inode is None:
        raise SysError(ENOENT)
    if not isinstance(inode, Directory):
        raise SysError(ENOTDIR)
    _require_removable(place, inode, caller.fs)
    if not inode.is_empty():
        raise SysError(ENOTEMPTY)
    place.parent.drop(place.name, inode)
    _remove_directory(place, inode)
    tell_name(place.parent, inode, IN_DELETE, place.name)


def _remove_directory(place: Place, inode: Directory) -> None:
    place.parent.remove(place.name)
    inode.nlink = 0
    inode.changed()
    if not inode.users:
        inode.evict()


def rename(
    caller: Caller,
    old: bytes,
    new: bytes,
    old_base: Directory | None = None,
    new_base: Directory | None = None,
    flags: int = 0,
) -> None:
    """rename(2), renameat2(2) with RENAME_NOREPLACE, RENAME_EXCHANGE or RENAME_WHITEOUT."""
    source = walk(caller, old, old_base, change=True)
    target = walk(caller, new, new_base, change=True)
    if source.parent.sb is not target.parent.sb:
        raise SysError(EXDEV)
    if source.is_special() or target.is_special():
        raise SysError(EBUSY)
    inode = source.inode
    if inode is None or (target.inode is None and flags & RENAME_EXCHANGE):
        raise SysError(ENOENT)
    if target.inode is not None and flags & RENAME_NOREPLACE:
        raise SysError(EEXIST)
    if not isinstance(inode, Directory) and (source.slash or (target.slash and not flags & RENAME_EXCHANGE)):
        raise SysError(ENOTDIR)
    _require_no_loop(source, target, flags)
    if target.inode is inode:
        return
    if target.inode is None and target.parent.fixed:
        raise SysError(ENOENT)
    _require_removable(source, inode, caller.fs)
    require_growable(target.parent, caller.fs)
    if target.inode is not None:
        _require_removable(target, target.inode, caller.fs)
    if flags & RENAME_EXCHANGE:
        _exchange(source, target)
    else:
        _move(source, target)
        if flags & RENAME_WHITEOUT:  # of overlay file systems: "there is nothing of this name"
            source.parent.add(source.name, CharDevice(source.parent.sb, 0, (0, 0)))


def _is_inside(directory: Directory, inode: Inode | None) -> bool:
    """True if `directory` is `inode` or below it."""
    while directory is not inode:
        if directory.parent is directory:
            return False
        directory = directory.parent
    return True


def _require_no_loop(source: Place, target: Place, flags: int) -> None:
    """Raises EINVAL if a directory would move into itself, ENOTEMPTY if it would replace one it is in."""
    if _is_inside(target.parent, source.inode):
        raise SysError(EINVAL)
    if target.inode is not None and _is_inside(source.parent, target.inode):
        raise SysError(EINVAL if flags & RENAME_EXCHANGE else ENOTEMPTY)


def _move(source: Place, target: Place) -> None:
    inode, replaced = source.inode, target.inode
    assert inode is not None
    if isinstance(replaced, Directory):
        if not isinstance(inode, Directory):
            raise SysError(EISDIR)
        if not replaced.is_empty():
            raise SysError(ENOTEMPTY)
    elif replaced is not None and isinstance(inode, Directory):
        raise SysError(ENOTDIR)
    source.parent.move(source.name, inode, target.parent, target.name, replaced)
    if isinstance(replaced, Directory):
        _remove_directory(target, replaced)
    elif replaced is not None:
        target.parent.remove(target.name)
    source.parent.remove(source.name)
    target.parent.add(target.name, inode)
    inode.changed()
    _tell_rename(source, target, inode)
    if replaced is not None and not isinstance(replaced, Directory):
        replaced.unlinked()


def _exchange(source: Place, target: Place) -> None:
    assert source.inode is not None
    assert target.inode is not None
    source.parent.exchange(source.inode, target.inode)
    one, other = source.parent.remove(source.name), target.parent.remove(target.name)
    source.parent.add(source.name, other)
    target.parent.add(target.name, one)
    one.changed()
    other.changed()
    _tell_rename(source, target, one)
    _tell_rename(target, source, other)


def _tell_rename(source: Place, target: Place, inode: Inode) -> None:
    """inotify(7): the two halves of a move have a cookie in common."""
    primary = inode.sb.primary
    if not primary.watches:
        return
    primary.moves += 1
    tell_name(source.parent, inode, IN_MOVED_FROM, source.name, primary.moves)
    tell_name(target.parent, inode, IN_MOVED_TO, target.name, primary.moves)
    tell_moved(inode)
