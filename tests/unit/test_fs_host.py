"""A host directory as the root of the guest."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from fs_helpers import System
from mm_helpers import errno_of

from mini_kernel.errors import SysError
from mini_kernel.fs import namei
from mini_kernel.fs.inode import Directory, RegularFile
from mini_kernel.fs.vfs import Vfs
from mini_kernel.uapi.errno import (
    ENOENT,
)


@pytest.fixture
def host_tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "file").write_bytes(b"host content" * 1000)
    (root / "dir" / "file").chmod(0o751)
    (root / "absolute").symlink_to("/dir/file")
    (root / "outside").symlink_to("../../secret")
    (root / "dir" / "up").symlink_to("../dir/file")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


def host_vfs(root: Path) -> Vfs:
    k = System().kernel
    return Vfs(k.frames, k.clock, k.random, str(root))


def test_a_host_directory_is_served_and_never_changed(host_tree: Path) -> None:
    """Content, modes and links are the host's; writes, truncation and removal stay in the guest."""
    vfs = host_vfs(host_tree)
    content = (host_tree / "dir" / "file").read_bytes()
    assert vfs.read_file(b"/dir/file") == vfs.read_file(b"/absolute") == vfs.read_file(b"/dir/up") == content
    inode = vfs.lookup(vfs.boot, b"/dir/file")
    assert inode.mode == 0o100751
    assert inode.mtime == (host_tree / "dir" / "file").stat().st_mtime_ns
    assert isinstance(inode, RegularFile)
    inode.write([memoryview(b"GUEST")], 5000)
    assert vfs.read_file(b"/dir/file") == content[:5000] + b"GUEST" + content[5005:]
    inode.truncate(3)
    assert vfs.read_file(b"/dir/file") == b"hos"
    namei.unlink(vfs.boot, b"/absolute")
    namei.rename(vfs.boot, b"/dir/file", b"/moved")
    assert errno_of(vfs.lookup, vfs.boot, b"/absolute") == ENOENT
    assert vfs.read_file(b"/moved") == b"hos"
    assert sorted(os.listdir(host_tree)) == ["absolute", "dir", "outside"]
    assert (host_tree / "dir" / "file").read_bytes() == content


def test_links_of_the_host_never_leave_the_root(host_tree: Path) -> None:
    """`..` in a link stops at the root, and a directory that became a link meanwhile is not followed."""
    vfs = host_vfs(host_tree)
    assert errno_of(vfs.lookup, vfs.boot, b"/outside") == ENOENT
    vfs.lookup(vfs.boot, b"/dir/file")
    shutil.move(host_tree / "dir", host_tree.parent / "elsewhere")
    (host_tree / "dir").symlink_to("../elsewhere")
    with pytest.raises(SysError):
        vfs.read_file(b"/dir/file")


def test_dev_and_proc_are_the_guests_own(host_tree: Path) -> None:
    """They replace what the host has there; /etc/passwd and /tmp are added only where missing."""
    (host_tree / "dev").mkdir()
    (host_tree / "dev" / "strange").write_bytes(b"")
    (host_tree / "etc").mkdir()
    (host_tree / "etc" / "passwd").write_bytes(b"theirs")
    vfs = host_vfs(host_tree)
    assert errno_of(vfs.lookup, vfs.boot, b"/dev/strange") == ENOENT
    assert stat.S_ISCHR(vfs.lookup(vfs.boot, b"/dev/null").mode)
    assert vfs.read_file(b"/etc/passwd") == b"theirs"
    assert b"root" in vfs.read_file(b"/etc/group")
    assert vfs.lookup(vfs.boot, b"/tmp").mode == 0o41777


def test_listing_a_host_directory_is_sorted_and_complete(host_tree: Path) -> None:
    """Looking at one name first does not hide or repeat others."""
    vfs = host_vfs(host_tree)
    vfs.lookup(vfs.boot, b"/dir/up")
    directory = vfs.lookup(vfs.boot, b"/dir")
    assert isinstance(directory, Directory)
    assert not directory.is_empty()
    assert sorted(name for name, _inode in directory.items(vfs.boot)) == [b"file", b"up"]
    assert directory.nlink == 2
