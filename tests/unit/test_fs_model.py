"""Names in the guest against the host's own file system as the model."""

import os
import shutil
import stat
import tempfile

from fs_helpers import System
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mini_kernel.fs.inode import Directory, Inode, Symlink
from mini_kernel.fs.vfs import Vfs
from mini_kernel.uapi import errno_names

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.one_of(
    NAMES,
    st.tuples(NAMES, NAMES).map("/".join),
    st.tuples(NAMES, NAMES, NAMES).map("/".join),
    st.tuples(NAMES, st.just("..")).map("/".join),
    NAMES.map(lambda n: n + "/"),
    NAMES.map(lambda n: n + "/."),
)


class TreeMachine(RuleBasedStateMachine):
    """Whatever is done to names, the tree and each errno are the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.system = System(4)
        self.system.mkdir(b"/top", 0o755)
        self.system.mkdir(b"/top/work", 0o755)
        self.system.chdir(b"/top/work")
        self.system.umask(os.umask(os.umask(0o022)))
        self.host = tempfile.mkdtemp()
        os.mkdir(self.host + "/work")
        self.fd = os.open(self.host + "/work", os.O_RDONLY)

    def teardown(self) -> None:
        os.close(self.fd)
        shutil.rmtree(self.host)

    def both(self, ours: int, call: object, *arguments: object, **options: object) -> None:
        assert callable(call)
        theirs = 0
        try:
            result = call(*arguments, **options)
            if isinstance(result, int) and not isinstance(result, bool):
                os.close(result)
        except OSError as error:
            theirs = -(error.errno or 0)
        assert errno_names.get(-min(ours, 0), "0") == errno_names.get(-theirs, "0"), (call, arguments)

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self.both(self.system.mkdir(path.encode(), 0o755), os.mkdir, path, 0o755, dir_fd=self.fd)

    @rule(path=PATHS, exclusive=st.booleans(), truncate=st.booleans())
    def create(self, path: str, exclusive: bool, truncate: bool) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_EXCL * exclusive | os.O_TRUNC * truncate
        self.both(self.system.open(path.encode(), flags, 0o644), os.open, path, flags, 0o644, dir_fd=self.fd)

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.both(self.system.unlink(path.encode()), os.unlink, path, dir_fd=self.fd)

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self.both(self.system.rmdir(path.encode()), os.rmdir, path, dir_fd=self.fd)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        ours = self.system.rename(old.encode(), new.encode())
        self.both(ours, os.rename, old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    @rule(old=PATHS, new=PATHS)
    def link(self, old: str, new: str) -> None:
        ours = self.system.link(old.encode(), new.encode())
        self.both(ours, os.link, old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    @rule(content=st.sampled_from(["a", "b", "../a", "b/c", "."]), path=PATHS)
    def symlink(self, content: str, path: str) -> None:
        self.both(self.system.symlink(content.encode(), path.encode()), os.symlink, content, path, dir_fd=self.fd)

    @rule(path=PATHS, follow=st.booleans())
    def look(self, path: str, follow: bool) -> None:
        ours = self.system.newfstatat(-100, path.encode(), 0x100000, 0 if follow else 0x100)
        self.both(ours, os.stat, path, dir_fd=self.fd, follow_symlinks=follow)

    @invariant()
    def same_tree(self) -> None:
        vfs = self.system.kernel.vfs
        assert describe(vfs, vfs.lookup(vfs.boot, b"/top")) == describe_host(self.host)


def describe(vfs: Vfs, inode: Inode) -> object:
    """A tree as nested values: link targets, link counts, names."""
    if isinstance(inode, Directory):
        subdirectories = sum(isinstance(child, Directory) for _name, child in inode.items(vfs.boot))
        assert inode.nlink == 2 + subdirectories
        return {name.decode(): describe(vfs, child) for name, child in inode.items(vfs.boot)}
    return (inode.target.decode() if isinstance(inode, Symlink) else "", inode.nlink)


def describe_host(path: str) -> object:
    info = os.lstat(path)
    if stat.S_ISDIR(info.st_mode):
        return {name: describe_host(os.path.join(path, name)) for name in os.listdir(path)}
    return (os.readlink(path) if stat.S_ISLNK(info.st_mode) else "", info.st_nlink)


TestTreeMachine = TreeMachine.TestCase
TestTreeMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
