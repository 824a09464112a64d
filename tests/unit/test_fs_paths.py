"""The path walk, permissions, and names: a table of cases."""

import stat

import pytest
from fs_helpers import System
from mm_helpers import errno_of

from mini_kernel.cred import Credentials
from mini_kernel.fs import namei
from mini_kernel.fs.inode import Directory, RegularFile, Symlink
from mini_kernel.fs.path import path_of, walk
from mini_kernel.uapi import errno_names
from mini_kernel.uapi.errno import (
    EACCES,
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
)
from mini_kernel.uapi.fcntl import O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY


@pytest.fixture
def system() -> System:
    """A tree: /d/file, /d/sub, links of every kind."""
    system = System()
    vfs = system.kernel.vfs
    vfs.write_file(b"/d/sub/deep", b"deep")
    vfs.write_file(b"/d/file", b"content")
    for name, target in {
        b"/d/to-file": b"file",
        b"/d/to-sub": b"/d/sub",
        b"/d/sub/up": b"../file",
        b"/d/dangling": b"nowhere",
        b"/d/loop": b"loop",
        b"/d/escape": b"../../../../d/file",
        b"/d/slash": b"sub/",
        b"/d/to-etc": b"/etc",
    }.items():
        namei.symlink(system.task, target, name)
    for number in range(41):
        namei.symlink(system.task, b"/d/chain%d" % (number + 1) if number < 40 else b"file", b"/d/chain%d" % number)
    return system


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/..", b"/"),
        (b"/../../d", b"/d"),
        (b"/d/./sub/../sub/.", b"/d/sub"),
        (b"/d/sub//", b"/d/sub"),
        (b"/d/to-sub", b"/d/sub"),
        (b"/d/to-sub/", b"/d/sub"),
        (b"/d/to-sub/..", b"/d"),
        (b"/d/slash", b"/d/sub"),
        (b"/d/slash/..", b"/d"),
        (b"d", b"/d"),
        (b"", ENOENT),
        (b"/nothing", ENOENT),
        (b"/nothing/more", ENOENT),
        (b"/d/file/x", ENOTDIR),
        (b"/d/file/", ENOTDIR),
        (b"/d/file/.", ENOTDIR),
        (b"/d/to-file/", ENOTDIR),
        (b"/d/dangling", ENOENT),
        (b"/d/dangling/", ENOENT),
        (b"/d/loop", ELOOP),
        (b"/d/loop/x", ELOOP),
        (b"/d/chain0", ELOOP),
        (b"/" + b"n" * 256, ENAMETOOLONG),
        (b"/" + b"n" * 255, ENOENT),
        (b"/." * 2048, ENAMETOOLONG),
        (b"/." * 2047, b"/"),
    ],
)
def test_where_a_path_leads(system: System, path: bytes, found: bytes | int) -> None:
    """Directories by their canonical path; failures by errno."""
    vfs = system.kernel.vfs
    if isinstance(found, int):
        assert errno_names[errno_of(vfs.lookup, system.task, path)] == errno_names[found]
        return
    inode = vfs.lookup(system.task, path)
    assert isinstance(inode, Directory)
    assert path_of(inode, vfs.root) == found


@pytest.mark.parametrize("path", [b"/d/to-file", b"/d/sub/up", b"/d/escape", b"/d/chain1", b"/d/to-sub/up"])
def test_links_lead_to_the_file(system: System, path: bytes) -> None:
    """Relative to where they stand, absolute from the root, forty in a row; `..` never leaves the root."""
    assert system.kernel.vfs.lookup(system.task, path) is system.kernel.vfs.lookup(system.task, b"/d/file")


def test_a_link_at_the_end_is_followed_only_if_asked(system: System) -> None:
    """Without follow the link itself is found, unless a slash behind it asks for a directory."""
    vfs = system.kernel.vfs
    assert isinstance(vfs.lookup(system.task, b"/d/to-sub", follow=False), Symlink)
    assert isinstance(vfs.lookup(system.task, b"/d/to-sub/", follow=False), Directory)
    assert isinstance(vfs.lookup(system.task, b"/d/loop", follow=False), Symlink)


def test_chroot_confines(system: System) -> None:
    """Absolute links and `..` stay inside a changed root."""
    assert system.chroot(b"/d") == 0
    assert system.chdir(b"/") == 0
    vfs = system.kernel.vfs
    assert vfs.lookup(system.task, b"/../..") is vfs.lookup(vfs.boot, b"/d")
    assert errno_of(vfs.lookup, system.task, b"/to-etc") == ENOENT
    assert vfs.lookup(system.task, b"/sub/../../../file").size() == 7


def test_a_removed_directory_takes_no_names_and_has_no_path(system: System) -> None:
    """Its users keep it, `..` works, but nothing can be made in it and getcwd fails."""
    assert system.mkdir(b"/gone", 0o755) == 0
    assert system.chdir(b"/gone") == 0
    assert system.rmdir(b"/gone") == 0
    assert system.mkdir(b"x", 0o755) == -ENOENT
    assert system.open(b"x", O_CREAT | O_WRONLY, 0o644) == -ENOENT
    assert system.getcwd(0x100000, 100) == -ENOENT
    assert system.chdir(b"..") == 0
    assert system.getcwd(0x100000, 100) == 2


@pytest.mark.parametrize(
    ("path", "flags", "wanted"),
    [
        (b"/d/file", O_CREAT | O_EXCL | O_WRONLY, EEXIST),
        (b"/d/dangling", O_CREAT | O_EXCL | O_WRONLY, EEXIST),
        (b"/d/dangling", O_CREAT | O_WRONLY, 0),
        (b"/d/new/", O_CREAT | O_WRONLY, EISDIR),
        (b"/d", O_CREAT | O_RDONLY, EISDIR),
        (b"/d", O_WRONLY, EISDIR),
        (b"/d", O_RDONLY | O_TRUNC, EISDIR),
        (b"/d", O_RDONLY | O_DIRECTORY, 0),
        (b"/d/file", O_DIRECTORY, ENOTDIR),
        (b"/d/to-file", O_NOFOLLOW, ELOOP),
        (b"/d/to-sub/up", O_NOFOLLOW, ELOOP),
        (b"/d/missing", O_RDONLY, ENOENT),
        (b"/d/no/where", O_CREAT | O_WRONLY, ENOENT),
        (b"/proc/new", O_CREAT | O_WRONLY, ENOENT),
        (b"/dev/tty", O_RDONLY, 6),
    ],
)
def test_open_flags(system: System, path: bytes, flags: int, wanted: int) -> None:
    """open(2) honours each flag, and fails with the errno the manual page gives."""
    result = system.open(path, flags, 0o644)
    assert (-result if result < 0 else 0) == wanted


def test_creating_through_a_dangling_link_makes_its_target(system: System) -> None:
    """O_CREAT follows a link at the end unless O_EXCL is given."""
    assert system.open(b"/d/dangling", O_CREAT | O_WRONLY, 0o600) >= 0
    assert isinstance(system.kernel.vfs.lookup(system.task, b"/d/nowhere"), RegularFile)


@pytest.mark.parametrize(
    ("call", "arguments", "wanted"),
    [
        ("unlink", (b"/d",), EISDIR),
        ("unlink", (b"/d/file/",), ENOTDIR),
        ("unlink", (b"/d/missing",), ENOENT),
        ("unlink", (b"/proc/self/exe",), EPERM),
        ("rmdir", (b"/d",), ENOTEMPTY),
        ("rmdir", (b"/d/file",), ENOTDIR),
        ("rmdir", (b"/d/sub/.",), EINVAL),
        ("rmdir", (b"/d/sub/..",), ENOTEMPTY),
        ("rmdir", (b"/",), EBUSY),
        ("rmdir", (b"/proc",), EBUSY),
        ("mkdir", (b"/d", 0o755), EEXIST),
        ("mkdir", (b"/d/.", 0o755), EEXIST),
        ("mkdir", (b"/d/dangling", 0o755), EEXIST),
        ("mkdir", (b"/d/file/x", 0o755), ENOTDIR),
        ("link", (b"/d/sub", b"/d/again"), EPERM),
        ("link", (b"/d/file", b"/d/sub/deep"), EEXIST),
        ("symlink", (b"", b"/d/empty"), ENOENT),
        ("symlink", (b"x", b"/d/file"), EEXIST),
        ("rename", (b"/d", b"/d/sub/d"), EINVAL),
        ("rename", (b"/d/sub", b"/d"), ENOTEMPTY),
        ("rename", (b"/d/sub", b"/d/file"), ENOTDIR),
        ("rename", (b"/d/file", b"/d/sub"), EISDIR),
        ("rename", (b"/d/file", b"/d/new/"), ENOTDIR),
        ("rename", (b"/d/.", b"/e"), EBUSY),
        ("rename", (b"/proc", b"/e"), EBUSY),
        ("rename", (b"/d/missing", b"/e"), ENOENT),
        ("rename", (b"/d/file", b"/d/file"), 0),
        ("rename", (b"/d/sub", b"/moved/"), 0),
        ("renameat2", (-100, b"/d/file", -100, b"/d/sub/deep", 1), EEXIST),
        ("renameat2", (-100, b"/d/file", -100, b"/d/none", 2), ENOENT),
        ("renameat2", (-100, b"/d/file", -100, b"/d/sub", 2), 0),
        ("renameat2", (-100, b"/d", -100, b"/d/sub", 2), EINVAL),
        ("readlink", (b"/d/file", 0x100000, 10), EINVAL),
        ("readlink", (b"/d/to-file", 0x100000, 0), EINVAL),
        ("chdir", (b"/d/file",), ENOTDIR),
        ("truncate", (b"/d", 0), EISDIR),
        ("truncate", (b"/d/file", -1), EINVAL),
        ("mknod", (b"/d/disk", stat.S_IFBLK, 0), EINVAL),
        ("mknod", (b"/d/dir", stat.S_IFDIR, 0), EPERM),
    ],
)
def test_errno_of_names(system: System, call: str, arguments: tuple[object, ...], wanted: int) -> None:
    """Each call fails as its manual page says."""
    result = getattr(system, call)(*arguments)
    assert errno_names.get(-result, "0") == errno_names.get(wanted, "0")


def test_permission_bits_bind_everybody_but_root(system: System) -> None:
    """Owner, group and others each have their own bits; the sticky bit protects names; root reads all."""
    vfs, fs = system.kernel.vfs, system.task.fs
    vfs.write_file(b"/p/file", b"x", 0o640)
    assert system.chown(b"/p/file", 1000, 100) == 0
    assert system.access(b"/p/file", 6) == 0
    assert system.access(b"/p/file", 1) == -EACCES  # not even root runs a file without any x
    assert system.access(b"/p", 1) == 0
    for uid, gid, rights in ((1000, 5, (0, 0)), (1001, 100, (0, -EACCES)), (1001, 5, (-EACCES, -EACCES))):
        fs.uid, fs.gid = uid, gid
        system.task.cred = Credentials(ruid=uid, euid=uid, rgid=gid, egid=gid)
        assert (system.access(b"/p/file", 4), system.access(b"/p/file", 2)) == rights
    assert system.unlink(b"/p/file") == -EACCES
    assert system.chmod(b"/p/file", 0o777) == -EPERM
    fs.uid = 0
    vfs.write_file(b"/tmp/mine", b"x")
    fs.uid = 1001
    assert system.unlink(b"/tmp/mine") == -EPERM
    assert system.open(b"/tmp/new", O_CREAT | O_WRONLY, 0o644) >= 0
    assert system.unlink(b"/tmp/new") == 0
    fs.uid = 0
    assert system.chmod(b"/p", 0o600) == 0
    fs.uid = 1001
    assert system.access(b"/p/file", 0) == -EACCES


def test_a_file_lives_until_its_last_name_and_user_are_gone(system: System) -> None:
    """Frames come back exactly when neither a name nor an open file is left."""
    frames = system.kernel.frames
    system.put(b"x" * 10000)
    system.unlink(b"/nothing")  # the path's page is in memory now
    before = frames.in_use
    fd = system.open(b"/f", O_CREAT | O_WRONLY, 0o644)
    system.link(b"/f", b"/g")
    before = frames.in_use
    assert system.write(fd, 0x100000, 10000) == 10000
    copy = system.dup(fd)
    system.unlink(b"/f")
    system.unlink(b"/g")
    system.close(fd)
    assert frames.in_use == before + 3
    assert system.file(copy).inode.nlink == 0
    system.close(copy)
    assert frames.in_use == before


def test_renaming_over_a_file_frees_it(system: System) -> None:
    """The file that loses its name gives its frames back, unless somebody has it open."""
    frames, vfs = system.kernel.frames, system.kernel.vfs
    system.rename(b"/nothing", b"/nowhere")  # the pages of the paths are in memory now
    before = frames.in_use
    for name in (b"/one", b"/two", b"/three"):
        vfs.write_file(name, bytes(4096))
    assert system.rename(b"/one", b"/two") == 0
    assert frames.in_use == before + 2
    fd = system.open(b"/three", O_RDONLY)
    assert system.rename(b"/two", b"/three") == 0
    assert frames.in_use == before + 2
    system.close(fd)
    assert frames.in_use == before + 1


def test_proc_self_leads_to_the_program_and_its_files(system: System) -> None:
    """exe, cwd, root and fd/N are the caller's; an unlinked open file can still be opened through fd."""
    assert system.readlink(b"/proc/self/exe", 0x100000, 100) == 12
    assert system.got(12) == b"/bin/program"
    fd = system.open(b"/d/file", O_RDONLY)
    assert system.readlink(b"/proc/self/fd/%d" % fd, 0x100000, 100) == 7
    assert system.got(7) == b"/d/file"
    system.unlink(b"/d/file")
    again = system.open(b"/dev/fd/%d" % fd, O_RDONLY)
    assert system.file(again).inode is system.file(fd).inode
    assert system.open(b"/proc/self/fd/99", O_RDONLY) == -ENOENT
    system.chdir(b"/d")
    assert walk(system.task, b"/proc/self/cwd").inode is system.kernel.vfs.lookup(system.task, b"/d")
