"""The tree of files: built at boot, and opened by name (Linux fs/open.c). Changes to names are in namei."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from mini_kernel.errors import SysError
from mini_kernel.fs import proc
from mini_kernel.fs.device import NODES, CharDevice
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.file import File
from mini_kernel.fs.host import host_root
from mini_kernel.fs.hosttree import HostTree
from mini_kernel.fs.inode import Directory, Inode, RegularFile, SocketNode, SuperBlock, Symlink
from mini_kernel.fs.namei import adopt, create_file, place_for_new, require_growable
from mini_kernel.fs.notify import tell
from mini_kernel.fs.path import MAY_READ, MAY_WRITE, Caller, FsContext, Place, path_of, require, walk
from mini_kernel.fs.pipe import AnonymousPipe, Fifo
from mini_kernel.fs.stdio import StreamFile, StreamInode
from mini_kernel.fs.stream import HostStream
from mini_kernel.fs.superblock import Clock
from mini_kernel.fs.tty import JobControl, Terminal
from mini_kernel.fs.ttyfile import TerminalFile, TerminalInode
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.pagecache import PageCache, Quota
from mini_kernel.uapi.errno import EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EPERM
from mini_kernel.uapi.fcntl import (
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOATIME,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
)
from mini_kernel.uapi.inotify import IN_OPEN

_TMPFILE: Final = O_TMPFILE & ~O_DIRECTORY
_CREAT_DIRECTORY: Final = O_CREAT | O_DIRECTORY
_DIRECTORIES: Final = ((b"bin", 0o755), (b"etc", 0o755), (b"root", 0o700), (b"tmp", 0o1777))
_ETC: Final = {
    b"passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    b"group": b"root:x:0:\nnogroup:x:65534:\n",
    b"hostname": b"cr3lab\n",
}
#: st_dev of the file systems: what is at /, /proc, /dev, /dev/shm, nowhere in the tree, at /dev/pts.
_ROOT, _PROC, _DEV, _SHM, _NAMELESS, _PTS = _DEVICES = (1, 2, 3, 4, 5, 6)
_DEV_LINKS: Final = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
}


@dataclass
class BootCaller:
    """Who asks before there is a task: root at `/`."""

    fs: FsContext
    files: FdTable = field(default_factory=FdTable)
    tid: int = 0
    tgid: int = 0
    exe_path: bytes = b""
    restart: dict[str, Any] = field(default_factory=dict[str, Any])


class Vfs:
    """The file tree of a system, and the standard streams."""

    def __init__(
        self,
        frames: FrameAllocator,
        clock: Clock,
        random: Random,
        root: HostTree | None = None,
        system: proc.System | None = None,
    ) -> None:
        """`root` is a host directory to serve as `/`; `system` is what /proc shows, which is empty without."""
        self.sb = SuperBlock(frames, clock, random)
        self.sb.quota = Quota(frames.total >> 1)
        self.root: Directory = host_root(self.sb, root) if root is not None else Directory(self.sb, 0o755)
        self.tree = root
        self.boot = BootCaller(FsContext(self.root, self.root))
        self.streams: tuple[HostStream, ...] = ()  # input, output, error: handles
        self.devices = _DEVICES
        self.nameless = self.sb.another(_NAMELESS)
        proc_sb = self.sb.another(_PROC)
        self._populate(proc.build(proc_sb, system) if system is not None else Directory(proc_sb, 0o555))

    def _populate(self, proc_root: Directory) -> None:
        """/dev and /proc are ours in any case, the rest only where the host has none."""
        for name, node in ((b"dev", self._build_dev()), (b"proc", proc_root)):
            if self.root.find(name, self.boot) is not None:
                self.root.remove(name)
            node.mount = True
            self.root.add(name, node)
        for name, mode in _DIRECTORIES:
            if self.root.find(name, self.boot) is None:
                self.root.add(name, Directory(self.sb, mode))
        for name, content in _ETC.items():
            if walk(self.boot, b"/etc/" + name).inode is None:
                self.write_file(b"/etc/" + name, content)

    def _build_dev(self) -> Directory:
        sb = self.sb.another(_DEV)
        dev = Directory(sb, 0o755)
        for name, numbers in NODES.items():
            dev.add(name, CharDevice(sb, 0o666, numbers))
        for name, target in _DEV_LINKS.items():
            dev.add(name, Symlink(sb, target))
        shm_sb = self.sb.another(_SHM)
        shm_sb.quota = Quota(sb.frames.total >> 1)
        shm = Directory(shm_sb, 0o1777)  # where shm_open(3) makes its files; a tmpfs, as all is here
        shm.mount = True
        dev.add(b"shm", shm)
        pts = Directory(self.sb.another(_PTS), 0o755)
        pts.mount = True
        dev.add(b"pts", pts)
        return dev

    def context(self, cwd: bytes = b"/") -> FsContext:
        """Root's view for a new process in directory `cwd`, with umask 022. Raises SysError ENOENT, ENOTDIR."""
        directory = self.lookup(self.boot, cwd)
        if not isinstance(directory, Directory):
            raise SysError(ENOTDIR)
        return FsContext(self.root, directory)

    # -- for the embedding --------------------------------------------------------------------------

    def write_file(self, path: bytes, content: bytes, mode: int = 0o644) -> RegularFile:
        """Create or replace a file, with the directories on the way. Raises SysError."""
        parent = self.root
        *above, name = [part for part in path.split(b"/") if part]
        for part in above:
            node = walk(self.boot, part, parent).inode
            if node is None:
                node = Directory(parent.sb, 0o755)
                parent.add(part, node)
            if not isinstance(node, Directory):
                raise SysError(ENOTDIR)
            parent = node
        if name in parent.nodes or parent.find(name, self.boot) is not None:
            parent.remove(name).unlinked()
        inode = RegularFile(parent.sb, mode)
        parent.add(name, inode)
        inode.cache.write(0, content)
        return inode

    def read_file(self, path: bytes) -> bytes:
        """The whole content of a regular file. Raises SysError."""
        inode = self.lookup(self.boot, path)
        if not isinstance(inode, RegularFile):
            raise SysError(EINVAL)
        return inode.cache.read(0, inode.cache.size)

    def attach_stdio(
        self, files: FdTable, stdin: HostStream, stdout: HostStream, stderr: HostStream, jobs: JobControl
    ) -> None:
        """Open the standard streams as descriptors 0, 1 and 2 of an empty table. What is a terminal is /dev/pts/0."""
        self.streams = (stdin, stdout, stderr)
        screens = [stream for stream in (stdout, stderr, stdin) if stream.isatty()]
        if screens:
            source = stdin if stdin.isatty() else screens[0]
            pts = self.lookup(self.boot, b"/dev/pts")
            assert isinstance(pts, Directory)
            self.sb.terminal = TerminalInode(pts.sb, Terminal(source, screens[0], jobs))
            pts.add(b"0", self.sb.terminal)
        for number, stream in enumerate(self.streams):
            if self.sb.terminal is not None and stream.isatty():
                files.install(TerminalFile(self.sb.terminal, O_RDWR, b"/dev/pts/0"))
            else:
                inode = StreamInode(self.sb, stream)
                files.install(StreamFile(inode, O_WRONLY if number else O_RDONLY, b"pipe:[%d]" % inode.ino))

    @property
    def terminal(self) -> Terminal | None:
        """The terminal, if one of the standard streams is one."""
        return None if self.sb.terminal is None else self.sb.terminal.terminal

    def handles(self) -> dict[str, Any]:
        """What snapshots leave out, by name: the standard streams stdio0, stdio1, stdio2; the host's tree."""
        streams = {f"stdio{number}": stream for number, stream in enumerate(self.streams)}
        return {**streams, "tree": self.tree} if self.tree is not None else dict(streams)

    def files(self) -> Iterator[RegularFile]:
        """Every regular file that has a name and was looked at."""
        left: list[Directory] = [self.root]
        while left:
            for inode in left.pop().nodes.values():
                if isinstance(inode, Directory):
                    left.append(inode)
                elif isinstance(inode, RegularFile):
                    yield inode

    def caches(self) -> Iterator[PageCache]:
        """The page caches of `files`."""
        return (inode.cache for inode in self.files())

    def write_back(self) -> None:
        """What mappings changed in host files goes to the host (sync(2), whose failures nobody hears of)."""
        for inode in self.files() if self.tree is not None else ():
            if inode.backing is not None and inode.backing.mapped:
                with suppress(SysError):
                    inode.backing.write_back(False)

    # -- names --------------------------------------------------------------------------------------

    def lookup(self, caller: Caller, path: bytes, base: Directory | None = None, follow: bool = True) -> Inode:
        """The inode of a path. Raises SysError(ENOENT) and what the walk raises."""
        inode = walk(caller, path, base, follow).inode
        if inode is None:
            raise SysError(ENOENT)
        return inode

    def open(
        self,
        caller: Caller,
        path: bytes,
        flags: int,
        mode: int = 0,
        base: Directory | None = None,
        resolve: int = 0,
    ) -> File:
        """open(2): a new open file, not yet in a table. Raises SysError, or Block for a FIFO without a partner."""
        if flags & O_PATH:
            flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW
        elif flags & _TMPFILE or flags & _CREAT_DIRECTORY == _CREAT_DIRECTORY:
            return self._open_nameless(caller, path, flags, mode, base, resolve)
        follow = not (flags & O_NOFOLLOW or flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL)
        create = bool(flags & O_CREAT)
        place = walk(caller, path, base, follow, create and path[-1:] == b"/", resolve, create)
        if create and place.slash:  # also that of a link's target
            raise SysError(EISDIR)
        inode = place.inode
        if inode is None:
            if not create:
                raise SysError(ENOENT)
            inode = create_file(place, mode, caller.fs)
            flags &= ~O_TRUNC
        else:
            self._check_open(inode, flags, caller.fs)
        file = inode.open(flags, self._full_path(place, caller), caller)
        if self.sb.watches and not flags & O_PATH:
            if not (place.is_special() or place.link or isinstance(inode, Directory)):
                inode.home, inode.name = place.parent, place.name  # of several names it is seen under the one in use
            tell(inode, IN_OPEN)
        if flags & O_TRUNC and isinstance(inode, RegularFile):
            inode.truncate(0)
        return file

    def _check_open(self, inode: Inode, flags: int, fs: FsContext) -> None:
        if flags & O_CREAT and flags & O_EXCL:
            raise SysError(EEXIST)
        want = 0 if flags & O_PATH else (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE)[flags & 3]
        if flags & O_TRUNC:
            want |= MAY_WRITE
        if isinstance(inode, Directory):
            if want & MAY_WRITE or flags & O_CREAT:
                raise SysError(EISDIR)
        elif isinstance(inode, Symlink) and not flags & O_PATH:
            raise SysError(ELOOP)
        elif flags & O_DIRECTORY:
            raise SysError(ENOTDIR)
        require(inode, want, fs)
        if flags & O_NOATIME and fs.uid not in (0, inode.uid):
            raise SysError(EPERM)

    def _full_path(self, place: Place, caller: Caller) -> bytes:
        """What /proc/self/fd and /proc/pid/maps show."""
        if place.link is not None:
            return place.link.read_target(caller)
        if place.is_special():
            assert isinstance(place.inode, Directory)
            if not place.inode.nlink:
                return place.inode.name + b" (deleted)"
            return path_of(place.inode, caller.fs.root)
        parent = path_of(place.parent, caller.fs.root)
        return (parent if parent != b"/" else b"") + b"/" + place.name

    def _open_nameless(
        self, caller: Caller, path: bytes, flags: int, mode: int, base: Directory | None, resolve: int
    ) -> File:
        """O_TMPFILE: a file without a name in the directory's file system. EINVAL for O_CREAT with O_DIRECTORY, too."""
        if flags & (O_TMPFILE | O_CREAT) != O_TMPFILE or flags & 3 == O_RDONLY:
            raise SysError(EINVAL)
        parent = walk(caller, path, base, not flags & O_NOFOLLOW, resolve=resolve).inode
        if not isinstance(parent, Directory):
            raise SysError(ENOENT if parent is None else ENOTDIR)
        require_growable(parent, caller.fs)
        inode = RegularFile(parent.sb, mode & ~caller.fs.umask, caller.fs.uid, caller.fs.gid)
        inode.nlink = 0
        inode.linkable = not flags & O_EXCL
        file = inode.open(flags & ~O_TMPFILE, path + b"/#%d (deleted)" % inode.ino, caller)
        file.flags |= O_TMPFILE
        return file

    def make_node(
        self, caller: Caller, path: bytes, mode: int, numbers: tuple[int, int], base: Directory | None
    ) -> None:
        """mknod(2): a file, a FIFO or a character device. Raises SysError EPERM for directories, EINVAL for others."""
        place = place_for_new(caller, path, base)
        kind, permissions, sb = mode & S_IFMT, mode & 0o7777 & ~caller.fs.umask, place.parent.sb
        if kind in (0, S_IFREG):
            inode: Inode = RegularFile(sb, permissions)
        elif kind == S_IFIFO:
            inode = Fifo(sb, permissions)
        elif kind == S_IFSOCK:
            inode = SocketNode(sb, permissions)
        elif kind == S_IFCHR:
            if caller.fs.uid:
                raise SysError(EPERM)
            inode = CharDevice(sb, permissions, numbers)
        else:
            raise SysError(EPERM if kind == S_IFDIR else EINVAL)
        adopt(place, inode, caller.fs)

    # -- nameless -----------------------------------------------------------------------------------

    def pipe(self, flags: int = 0) -> tuple[File, File]:
        """pipe2(2): the open (read, write) ends."""
        return AnonymousPipe(self.nameless, 0o600).ends(flags)

    def memory_file(self, caller: Caller, name: bytes, seals: int) -> File:
        """memfd_create(2): an open file that has no name in the tree."""
        inode = RegularFile(self.nameless, 0o777, caller.fs.uid, caller.fs.gid)
        inode.nlink = 0
        inode.seals = seals
        return inode.open(O_RDWR, b"/memfd:" + name + b" (deleted)", caller)
