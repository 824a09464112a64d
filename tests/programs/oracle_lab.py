"""The host's kernel as the judge of whole command lines: the same static program, with the same arguments, input,
environment and files, runs natively and in the lab, and both must leave the same behind.

Compared are standard output, standard error, exit status or signal, and the file tree: names, types, permissions,
contents, link targets. Not compared are time stamps, inode numbers and the sizes of directories.
"""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from program_lab import ENVIRONMENT, HOST_LIMIT_S, limit_children

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.fs.inode import Directory, Inode, RegularFile, Symlink
from mini_kernel.fs.stream import BytesStream

FORKS = ("classic", "odf")
WORK = "work"  # the directory the program starts in, below the root
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device",
}  # fmt: skip
_LONGEST_SHOWN = 400  # bytes of a file's content in a report; of more there is the digest


@dataclass(frozen=True)
class File:
    """A regular file of an initial tree."""

    content: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link of an initial tree."""

    target: str


#: What is in a directory before the program runs, by relative path; None is a directory.
Tree = Mapping[str, File | Link | bytes | None]


@dataclass(frozen=True)
class Left:
    """What a run left behind. `str` is the whole of it, as text that can be compared line by line."""

    status: int  # exit status, or the signal that killed it as a negative number
    stdout: bytes
    stderr: bytes
    tree: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        how = f"exit status {self.status}" if self.status >= 0 else f"killed by signal {-self.status}"
        files = "\n".join(f"{path}: {what}" for path, what in sorted(self.tree.items()))
        return "\n".join([how, *_section("stdout", self.stdout), *_section("stderr", self.stderr), "-- files", files])


def _section(title: str, data: bytes) -> list[str]:
    return [f"-- {title}", data.decode("utf-8", "backslashreplace")]


def _entry(mode: int, content: bytes) -> str:
    text = "" if stat.S_ISDIR(mode) else f" {content[:_LONGEST_SHOWN].decode('utf-8', 'backslashreplace')!r}"
    if len(content) > _LONGEST_SHOWN:
        text += f"... of {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
    permissions = "" if stat.S_ISLNK(mode) else f" {stat.S_IMODE(mode):04o}"
    return _KINDS[stat.S_IFMT(mode)] + permissions + text


class Bench:
    """A place to run command lines in: commands on the PATH, and a directory of files to start from.

    `Bench(tmp_path, {"program": path}, {"input": b"..."}).agree(["program", "argument"])` is a whole test.

    `commands` maps names to static executables of the host; a name that maps to a str is a link to that other name.
    """

    def __init__(self, directory: Path, commands: Mapping[str, Path | str], tree: Tree | None = None) -> None:
        self.root = directory / "root"
        self.scratch = directory / "native"
        self.bin = self.root / "bin"
        self.bin.mkdir(parents=True)
        for name, origin in commands.items():
            if isinstance(origin, str):
                (self.bin / name).symlink_to(origin)
            else:
                shutil.copy(origin, self.bin / name)
        plant(self.root / WORK, tree or {})

    def natively(
        self, argv: Sequence[str], *, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Left:
        """Run argv[0], found in the bench's commands, on the host, in a fresh copy of the tree."""
        limit_children()
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.copytree(self.root / WORK, self.scratch, symlinks=True)
        ended = subprocess.run(
            argv,
            executable=self.bin / argv[0],
            input=stdin,
            capture_output=True,
            cwd=self.scratch,
            env={**ENVIRONMENT, "LC_ALL": "C", **(environment or {}), "PATH": str(self.bin)},
            timeout=HOST_LIMIT_S,
            start_new_session=True,  # no terminal, as in the lab
            umask=0o022,
            check=False,
        )
        return Left(ended.returncode, ended.stdout, ended.stderr, _tree_of_host(self.scratch))

    def in_lab(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        fork: str = "classic",
        check: bool = False,
    ) -> Left:
        """The same in a system of its own, which must be clean afterwards; `check` recomputes the invariants always."""
        options = Options(
            memory=512 << 20,
            fork=fork,
            check=check,
            root=str(self.root),
            cwd=f"/{WORK}",
            timeout=HOST_LIMIT_S,
            environment={**ENVIRONMENT, "LC_ALL": "C", **(environment or {}), "PATH": "/bin"},
        )
        streams = (BytesStream(stdin), BytesStream(), BytesStream())
        program = Program(argv[0], "", (self.bin / argv[0]).read_bytes(), None)
        with System(program, argv[1:], options, streams, argv0=argv[0]) as system:
            outcome = system.run()
            assert outcome.ending == "exited", (outcome, system.kernel.deadlock, system.stdout, system.stderr)
            system.kernel.check()
            assert not system.kernel.tasks, "tasks are left"
            assert not system.kernel.processes, "processes are left"
            assert outcome.wait_status is not None
            signo = outcome.wait_status & 0x7F
            status = -signo if signo else outcome.wait_status >> 8
            return Left(status, system.stdout, system.stderr, _tree_of_lab(system))

    def agree(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        forks: Sequence[str] = FORKS,
    ) -> Left:
        """Run natively, and in the lab by each kind of fork: all must be alike. What the host's run left behind."""
        expected = self.natively(argv, stdin=stdin, environment=environment)
        for fork in forks:
            found = self.in_lab(argv, stdin=stdin, environment=environment, fork=fork)
            assert str(found) == str(expected), f"{' '.join(argv)} (--fork {fork}): the lab, then the host"
        return expected


def plant(directory: Path, tree: Tree) -> None:
    """Make the files of an initial tree, with exact permissions."""
    directory.mkdir(parents=True)
    for name, what in tree.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what is None:
            path.mkdir()
        elif isinstance(what, Link):
            path.symlink_to(what.target)
        else:
            file = File(what) if isinstance(what, bytes) else what
            path.write_bytes(file.content)
            path.chmod(file.mode)


def _tree_of_host(directory: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in directory.rglob("*"):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        found[str(path.relative_to(directory))] = _entry(mode, content)
    return found


def _tree_of_lab(system: System) -> dict[str, str]:
    vfs = system.kernel.vfs
    work = vfs.lookup(vfs.boot, f"/{WORK}".encode())
    found: dict[str, str] = {}
    left: list[tuple[str, Inode]] = [("", work)]
    while left:
        prefix, directory = left.pop()
        assert isinstance(directory, Directory)
        for name, inode in directory.items(vfs.boot):
            path = prefix + name.decode("utf-8", "surrogateescape")
            found[path] = _entry(inode.mode, _content(inode))
            if isinstance(inode, Directory):
                left.append((path + "/", inode))
    return found


def _content(inode: Inode) -> bytes:
    if isinstance(inode, Symlink):
        return inode.target
    if isinstance(inode, RegularFile):
        return inode.cache.read(0, inode.cache.size)
    return b""
