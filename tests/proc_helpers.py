"""What several tests of /proc need: a process that runs, and its files by path."""

from typing import Any

from fs_helpers import BUFFER, System, name

from mini_kernel import process as life
from mini_kernel.fs.inode import Directory
from mini_kernel.task import Task
from mini_kernel.uapi.fcntl import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from mini_kernel.uapi.sched import CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_THREAD, CLONE_VM

THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD


def running_system() -> System:
    """A kernel on fake hardware with one process, number 1, that runs."""
    system = System()
    k, task = system.kernel, system.task
    k.processes[task.tid] = task.process
    k.main = task.process
    k.sched.current = task
    task.name = task.process.name = "program"
    system.rename(b"/nothing", b"/nowhere")  # the pages that paths are put into are in memory now
    system.put(b"x")  # and the one that is read into
    return system


def fork(system: System, flags: int = 0) -> Task:
    return life.clone(system.kernel, system.task, flags, 17)


def read(system: System, path: str) -> bytes:
    """The whole file, in small reads."""
    fd = system.open(path.encode(), O_RDONLY)
    assert fd >= 0, (path, name(fd))
    data = read_on(system, fd)
    system.close(fd)
    return data


def read_on(system: System, fd: int, step: int = 96) -> bytes:
    data = b""
    while count := system.read(fd, BUFFER, step):
        assert count > 0, name(count)
        data += system.got(count)
    return data


def write(system: System, path: str, data: bytes) -> Any:
    fd = system.open(path.encode(), O_WRONLY | O_CREAT | O_TRUNC, 0o666)
    if fd < 0:
        return name(fd)
    result = system.write(fd, system.put(data), len(data))
    system.close(fd)
    return name(result)


def names(system: System, path: str, task: Task | None = None) -> list[str]:
    task = task or system.task
    inode = system.kernel.vfs.lookup(task, path.encode())
    assert isinstance(inode, Directory)
    return [entry.decode() for entry, _node in inode.items(task)]
