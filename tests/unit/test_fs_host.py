"""A host directory as the root of the guest."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest
from fakes import FakeCpu, FakeRam
from fs_helpers import System
from mm_helpers import errno_of

from mini_kernel.errors import SysError
from mini_kernel.fs import namei
from mini_kernel.fs.hosttree import HostTree
from mini_kernel.fs.inode import Directory, RegularFile
from mini_kernel.fs.vfs import Vfs
from mini_kernel.kernel import Config, Kernel
from mini_kernel.uapi.errno import EEXIST, EIO, ENOENT
from mini_kernel.uapi.fcntl import O_CREAT, O_RDWR, O_WRONLY


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


def host_vfs(root: Path, writable: bool = False) -> Vfs:
    k = System().kernel
    return Vfs(k.frames, k.clock, k.random, HostTree(str(root), writable))


def put(vfs: Vfs, path: bytes, content: bytes) -> None:
    """Write a file as a program does."""
    file = vfs.open(vfs.boot, path, O_WRONLY | O_CREAT, 0o644)
    try:
        file.write_from([memoryview(content)])
    finally:
        file.put()


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


def test_a_writable_tree_is_left_by_no_way(host_tree: Path) -> None:
    """Links lead inside, `..` ends at the root, and a directory that became a link to outside is not entered."""
    vfs = host_vfs(host_tree, writable=True)
    outside = host_tree.parent / "elsewhere"
    outside.mkdir()
    namei.symlink(vfs.boot, b"../../../secret", b"/up")
    namei.symlink(vfs.boot, bytes(host_tree.parent / "secret"), b"/across")
    assert errno_of(put, vfs, b"/across", b"gotcha") == ENOENT
    put(vfs, b"/up", b"inside")
    assert (host_tree / "secret").read_bytes() == b"inside"
    assert (host_tree.parent / "secret").read_bytes() == b"secret"
    vfs.lookup(vfs.boot, b"/dir/file")
    shutil.move(host_tree / "dir", outside / "dir")
    (host_tree / "dir").symlink_to(outside / "dir")
    before = {path: path.lstat() for path in outside.rglob("*")}
    for change in (
        lambda: put(vfs, b"/dir/new", b"x"),
        lambda: put(vfs, b"/dir/file", b"x"),
        lambda: namei.unlink(vfs.boot, b"/dir/file"),
        lambda: namei.make_directory(vfs.boot, b"/dir/sub", 0o755),
        lambda: namei.rename(vfs.boot, b"/secret", b"/dir/file"),
        lambda: namei.link(vfs.boot, vfs.lookup(vfs.boot, b"/secret"), b"/dir/linked"),
        lambda: vfs.lookup(vfs.boot, b"/dir/file").chmod(0o777),
        lambda: vfs.lookup(vfs.boot, b"/dir/file").set_times(1, 1),
    ):
        with pytest.raises(SysError):
            change()
    assert {path: path.lstat() for path in outside.rglob("*")} == before


def test_a_guest_makes_no_set_id_programs_and_no_devices_on_the_host(host_tree: Path) -> None:
    """Both are there for the guest, in memory."""
    vfs = host_vfs(host_tree, writable=True)
    inode = vfs.lookup(vfs.boot, b"/dir/file")
    inode.chmod(0o6755)
    vfs.make_node(vfs.boot, b"/dir/null", 0o20666, (1, 3), None)
    assert inode.mode == 0o106755
    assert stat.S_ISCHR(vfs.lookup(vfs.boot, b"/dir/null").mode)
    assert (host_tree / "dir" / "file").stat().st_mode == 0o100755
    assert sorted(os.listdir(host_tree / "dir")) == ["file", "up"]


def test_a_file_that_became_something_else_is_an_error_and_no_wait(host_tree: Path) -> None:
    """A FIFO, a link or a directory in its place: EIO; nothing in its place: ENOENT."""
    for number, become in enumerate((os.mkfifo, os.mkdir, lambda path: os.symlink("../secret", path), os.fspath)):
        path = host_tree / f"file{number}"
        path.write_bytes(b"content")
        vfs = host_vfs(host_tree)
        vfs.lookup(vfs.boot, f"/file{number}".encode())
        path.unlink()
        become(path)
        assert errno_of(vfs.read_file, f"/file{number}".encode()) == {3: ENOENT}.get(number, EIO)


def test_names_are_bytes(host_tree: Path) -> None:
    """What is no UTF-8 goes both ways unchanged."""
    name = b"\xff\xfe name\n"
    (host_tree / os.fsdecode(name)).write_bytes(b"odd")
    vfs = host_vfs(host_tree, writable=True)
    assert vfs.read_file(b"/" + name) == b"odd"
    put(vfs, b"/\x80", b"new")
    assert (host_tree / os.fsdecode(b"\x80")).read_bytes() == b"new"


def test_names_of_one_host_file_are_one_inode(host_tree: Path) -> None:
    """So that a change by one name is seen by the other."""
    os.link(host_tree / "dir" / "file", host_tree / "second")
    vfs = host_vfs(host_tree)
    inode = vfs.lookup(vfs.boot, b"/second")
    assert inode is vfs.lookup(vfs.boot, b"/dir/file")
    assert inode.nlink == 2


def test_sockets_and_devices_of_the_host_are_not_there(host_tree: Path) -> None:
    """And nothing can be made in their place where the tree is writable."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(host_tree / "socket"))
        vfs = host_vfs(host_tree, writable=True)
        assert errno_of(vfs.lookup, vfs.boot, b"/socket") == ENOENT
        assert errno_of(put, vfs, b"/socket", b"x") == EEXIST


def test_a_restore_takes_nothing_back_on_the_host(host_tree: Path) -> None:
    """The guest's memory goes back, the host's files do not; what has no name there any more is ENOENT."""
    k = Kernel(FakeRam(16 << 20), FakeCpu(), 1, Config(root=str(host_tree), root_writable=True))
    put(k.vfs, b"/before", b"before")
    file = k.vfs.open(k.vfs.boot, b"/dir/file", O_RDWR)
    image = k.snapshot()
    put(k.vfs, b"/before", b"AFTER.")
    put(k.vfs, b"/new", b"new")
    namei.unlink(k.vfs.boot, b"/dir/file")
    file.put()
    k.restore(image)
    assert k.snapshot() == image
    assert (host_tree / "before").read_bytes() == b"AFTER."
    assert (host_tree / "new").read_bytes() == b"new"
    assert errno_of(put, k.vfs, b"/new", b"again") == EEXIST
    assert errno_of(k.vfs.read_file, b"/dir/file") == ENOENT
