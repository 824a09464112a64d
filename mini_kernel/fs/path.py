"""The path walk (path_resolution(7)) and the permission check."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.inode import Directory, Inode, Symlink
from mini_kernel.uapi.errno import EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EXDEV
from mini_kernel.uapi.fcntl import (
    NAME_MAX,
    PATH_MAX,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    S_IFDIR,
    S_IFMT,
    S_ISVTX,
)

MAX_LINKS: Final = 40  # Linux MAXSYMLINKS
_SCOPED: Final = RESOLVE_BENEATH | RESOLVE_IN_ROOT
MAY_EXEC, MAY_WRITE, MAY_READ = 1, 2, 4  # as in access(2)


@dataclass
class FsContext:
    """What a process brings to a path: where it begins, whose rights count, the creation mask (Linux fs_struct).

    Shared between tasks by CLONE_FS, otherwise copied by fork. `uid` and `gid` are those for files (setfsuid(2)).
    """

    root: Directory
    cwd: Directory
    umask: int = 0o022
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()

    def copy(self) -> "FsContext":
        """One for a forked process."""
        return FsContext(self.root, self.cwd, self.umask, self.uid, self.gid, self.groups)


class Caller(Protocol):
    """A task, as the file system sees it."""

    fs: FsContext
    files: FdTable
    tid: int
    exe_path: bytes
    restart: dict[str, Any]  # kept while a call waits

    @property
    def tgid(self) -> int:
        """Process id, 0 before there is a process."""
        ...


@dataclass(slots=True)
class Place:
    """Where a walk ended: `inode` is what `name` in `parent` stands for, None if there is no such name.

    `name` is b"", b"." or b".." if the path ended so (b"" for the root); then `inode` is a directory.
    `slash`: the path asked for a directory by ending in a slash.
    """

    parent: Directory
    name: bytes
    inode: Inode | None
    slash: bool = False
    link: Symlink | None = None  # the magic link that led to `inode` without a path

    def is_special(self) -> bool:
        """True if the last component is not a name that could be created or removed."""
        return self.name in (b"", b".", b"..")


def permits(inode: Inode, want: int, fs: FsContext) -> bool:
    """True if the rights of `fs` allow `want` (MAY_*): inode(7), and capabilities(7) for uid 0."""
    if not want:
        return True
    if fs.uid == 0:
        return not want & MAY_EXEC or inode.mode & S_IFMT == S_IFDIR or bool(inode.mode & 0o111)
    if fs.uid == inode.uid:
        bits = inode.mode >> 6
    elif fs.gid == inode.gid or inode.gid in fs.groups:
        bits = inode.mode >> 3
    else:
        bits = inode.mode
    return not want & ~bits


def require(inode: Inode, want: int, fs: FsContext) -> None:
    """SysError(EACCES) unless `permits`."""
    if not permits(inode, want, fs):
        raise SysError(EACCES)


def may_delete(parent: Directory, inode: Inode, fs: FsContext) -> bool:
    """False if the sticky bit of the directory keeps `fs` from removing or renaming what others own."""
    return fs.uid == 0 or not parent.mode & S_ISVTX or fs.uid in (inode.uid, parent.uid)


def _components(path: bytes) -> list[bytes]:
    """The components, last first: a stack to walk."""
    return [name for name in path.split(b"/") if name][::-1]


def walk(
    caller: Caller,
    path: bytes,
    base: Directory | None = None,
    follow: bool = True,
    change: bool = False,
    resolve: int = 0,
    create: bool = False,
) -> Place:
    """Follow `path` from the root, or else from `base` or the working directory.

    `follow`: a symbolic link at the very end is followed; so it is if a slash stands behind it. `change`: neither is,
    and a slash behind what is no directory is left to the caller, who makes, removes or renames that very name.
    `create`: links are followed, but such a slash is the caller's, too. `resolve`: RESOLVE_* bits of openat2(2).
    Raises SysError: ENOENT for an empty path or a missing component before the last, ENOTDIR, EACCES, ELOOP,
    ENAMETOOLONG; EXDEV where `resolve` forbids.
    """
    if not path:
        raise SysError(ENOENT)
    if len(path) >= PATH_MAX:
        raise SysError(ENAMETOOLONG)
    root = (base or caller.fs.cwd) if resolve & _SCOPED else caller.fs.root
    at: Inode = root if path[:1] == b"/" else base or caller.fs.cwd
    if resolve & RESOLVE_BENEATH and path[:1] == b"/":
        raise SysError(EXDEV)
    place = Place(root, b"", at)
    slash, left, links = path[-1:] == b"/", _components(path), 0
    while left:
        name = left.pop()
        place = _step(caller, at, name, root)
        inode = place.inode
        if resolve:
            _check_step(place, at, root, resolve)
        if isinstance(inode, Symlink) and (left or (not change and (follow or slash))):
            links += 1
            if links > MAX_LINKS or resolve & RESOLVE_NO_SYMLINKS:
                raise SysError(ELOOP)
            jump = inode.jump(caller)
            if jump is None:
                target = inode.read_target(caller)
                slash = slash or (not left and target[-1:] == b"/")
                left += _components(target)
                at = root if target[:1] == b"/" else place.parent
                if resolve and target[:1] == b"/":
                    _check_absolute(path, at, place.parent, resolve)
                place = Place(root, b"", at)
                continue
            if resolve:
                _check_jump(inode, jump, resolve)
            place.link, place.inode = inode, jump
            inode = jump
        if inode is None:
            if left:
                raise SysError(ENOENT)
            break
        at = inode
    if slash and not (change or create) and place.inode is not None and not isinstance(place.inode, Directory):
        raise SysError(ENOTDIR)
    place.slash = slash
    return place


def _step(caller: Caller, at: Inode, name: bytes, root: Directory) -> Place:
    """One component."""
    if not isinstance(at, Directory):
        raise SysError(ENOTDIR)
    if caller.fs.uid:
        require(at, MAY_EXEC, caller.fs)
    if name == b".":
        return Place(at, name, at)
    if name == b"..":
        return Place(at, name, at if at is root else at.parent)
    if len(name) > NAME_MAX:
        raise SysError(ENAMETOOLONG)
    return Place(at, name, at.find(name, caller))


def _check_absolute(path: bytes, at: Inode, before: Directory, resolve: int) -> None:
    """openat2(2), at a link to an absolute path.

    RESOLVE_NO_XDEV forbids it in a walk that began at a descriptor, wherever it leads: the root of such a walk is not
    known to be on the same mount (Linux nd_jump_root).
    """
    if resolve & RESOLVE_BENEATH:
        raise SysError(EXDEV)
    if resolve & RESOLVE_NO_XDEV and (path[:1] != b"/" or at.sb is not before.sb):
        raise SysError(EXDEV)


def _check_step(place: Place, at: Inode, root: Directory, resolve: int) -> None:
    """openat2(2), behind one component."""
    if place.name == b".." and at is root and resolve & RESOLVE_BENEATH:
        raise SysError(EXDEV)
    if place.inode is not None and place.inode.sb is not at.sb and resolve & RESOLVE_NO_XDEV:
        raise SysError(EXDEV)


def _check_jump(link: Symlink, jump: Inode, resolve: int) -> None:
    """openat2(2), at a magic link."""
    if resolve & RESOLVE_NO_MAGICLINKS:
        raise SysError(ELOOP)
    if resolve & _SCOPED or (resolve & RESOLVE_NO_XDEV and jump.sb is not link.sb):
        raise SysError(EXDEV)


def path_of(directory: Directory, root: Directory) -> bytes:
    """The absolute path of a directory as seen from `root`, or from the top of the tree if it is not below.

    Raises SysError(ENOENT) if it was removed.
    """
    names: list[bytes] = []
    while directory is not root:
        if directory.nlink == 0:
            raise SysError(ENOENT)
        if directory.parent is directory:
            break
        names.append(directory.name)
        directory = directory.parent
    return b"/" + b"/".join(reversed(names))


def is_below(directory: Directory, root: Directory) -> bool:
    """True if `root` is on the way up from `directory`."""
    while directory is not root and directory.parent is not directory:
        directory = directory.parent
    return directory is root
