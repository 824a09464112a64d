"""The tree of /proc."""

from typing import TYPE_CHECKING

from mini_kernel.fs.inode import Directory, Inode, SuperBlock, Symlink
from mini_kernel.fs.proc import settings
from mini_kernel.fs.proc.facts import FACTS, REPORTS
from mini_kernel.fs.proc.node import ProcDirectory, ProcLink, ReportText, SystemText
from mini_kernel.fs.proc.pid import PidDirectory, parse_id
from mini_kernel.fs.proc.views import Subject, System

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller


class SelfLink(ProcLink):
    """/proc/self: the directory of whoever looks."""

    def read_target(self, caller: "Caller") -> bytes:
        return b"%d" % caller.tgid


class ThreadSelfLink(ProcLink):
    """/proc/thread-self."""

    def read_target(self, caller: "Caller") -> bytes:
        return b"%d/task/%d" % (caller.tgid, caller.tid)


class ProcRoot(ProcDirectory):
    """/proc. Listed are processes; a thread's number leads to its directory as well, as in Linux."""

    def __init__(self, sb: SuperBlock, system: System) -> None:
        super().__init__(sb, 0o555)
        self.system = system

    def find(self, name: bytes, caller: "Caller") -> Inode | None:
        node = self.nodes.get(name)
        return self._directory(parse_id(name)) if node is None else node

    def items(self, caller: "Caller") -> list[tuple[bytes, Inode]]:
        found = [(b"%d" % number, self._directory(number)) for number in sorted(self.system.processes)]
        return [*self.nodes.items(), *((name, node) for name, node in found if node is not None)]

    def _directory(self, number: int) -> Inode | None:
        task = self.system.tasks.get(number)
        process = task.process if task is not None else self.system.processes.get(number)
        if process is None:
            return None
        thread = task if process.tgid != number else None
        return PidDirectory(self, b"%d" % number, Subject(self.system, process, thread))


def build(sb: SuperBlock, system: System) -> Directory:
    """The root of /proc."""
    proc = ProcRoot(sb, system)
    proc.add(b"self", SelfLink(sb, b""))
    proc.add(b"thread-self", ThreadSelfLink(sb, b""))
    proc.add(b"mounts", Symlink(sb, b"self/mounts"))
    for name, make in FACTS.items():
        proc.add(name, SystemText(sb, system, make))
    for group, names in REPORTS.items():
        directory = ProcDirectory(sb, 0o555)
        proc.add(group, directory)
        for name in names:
            directory.add(name, ReportText(sb, system, group, name))
    proc.add(b"sys", settings.build(sb, system))
    return proc
