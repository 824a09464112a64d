"""What several tests of files need: a kernel on fake hardware, a task with some memory, calls by name."""

import struct
from typing import Any

from fakes import FakeCpu, FakeRam

from mini_kernel.console import Console
from mini_kernel.errors import SysError
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.file import File
from mini_kernel.fs.stream import BytesStream
from mini_kernel.kernel import Kernel
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.mmap import mmap
from mini_kernel.syscalls import dirs, events, fcntl, files, io, mounts, pipes, poll, splice, stat, timers, times, xattr
from mini_kernel.task import Process, Task
from mini_kernel.uapi import errno_names
from mini_kernel.uapi.fcntl import O_RDWR
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mini_kernel.wait import Block

BUFFER = 0x10_0000  # 64 pages of memory the task may read and write; nothing is mapped around them
BUFFER_END = BUFFER + 64 * 4096
PAGE = 4096
LAST = BUFFER_END - 10  # ten bytes of good memory before bad
MODULES = (dirs, events, fcntl, files, io, mounts, pipes, poll, splice, stat, timers, times, xattr)


class System:
    """A kernel on fake hardware with one task, whose system calls are methods: `system.write(1, addr, n)`.

    A result is what user code sees: the value or -errno; "block" if the call waits. Bytes as an argument are put into
    memory first, each at its own page of the buffer's second half.
    """

    def __init__(self, mib: int = 16, stdin: bytes = b"", tty: bool = False) -> None:
        self.kernel = Kernel(FakeRam(mib << 20), FakeCpu(), 1)
        self.out = BytesStream(stdin, tty)
        self.task = self.new_task()
        self.kernel.vfs.attach_stdio(self.task.files, self.out, self.out, self.out, Console(self.kernel))
        self.last_block: Block | None = None

    def new_task(self) -> Task:
        k = self.kernel
        assert k.frames.cpu is not None
        mm = Mm(k.frames, k.frames.cpu)
        mmap(mm, BUFFER, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
        tid = k.new_tid()
        task = Task(tid, Process(tid, None, tid, tid), mm, FdTable(), k.vfs.context(), k.sched.run_queue)
        task.exe_path = b"/bin/program"
        k.tasks[tid] = task
        return task

    def call(self, task: Task, name: str, *arguments: Any) -> Any:
        handler = next(getattr(m, "sys_" + name) for m in MODULES if hasattr(m, "sys_" + name))
        raw: list[int] = []
        for position, argument in enumerate(arguments):
            if isinstance(argument, bytes):
                address = BUFFER + (32 + 4 * position) * 4096
                uaccess.write(task.mm, address, argument + b"\0")
                argument = address
            raw.append(argument & 0xFFFF_FFFF_FFFF_FFFF)
        wanted = handler.__code__.co_argcount - 2
        raw += [0] * (wanted - len(raw))
        try:
            result = handler(self.kernel, task, *raw)
        except SysError as error:
            result = -error.errno
        except Block as block:
            self.last_block = block
            return "block"
        task.restart.clear()
        return result

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.call(self.task, name, *arguments)

    def put(self, data: bytes, address: int = BUFFER) -> int:
        """Store bytes in the task's memory; where."""
        uaccess.write(self.task.mm, address, data)
        return address

    def got(self, n: int, address: int = BUFFER) -> bytes:
        """Bytes of the task's memory."""
        return uaccess.read(self.task.mm, address, n)

    def file(self, fd: int) -> File:
        return self.task.files.get(fd)


def make(system: System, content: bytes, flags: int = O_RDWR) -> int:
    """A descriptor of a new file with this content, at its beginning."""
    system.kernel.vfs.write_file(b"/file", content)
    return system.open(b"/file", flags)


def pair(system: System, flags: int = 0) -> tuple[int, int]:
    """The (read, write) descriptors of a new pipe."""
    assert system.pipe2(BUFFER, flags) == 0
    return struct.unpack("<ii", system.got(8))


def name(result: Any) -> Any:
    """A failure by its errno's name."""
    return errno_names[-result] if isinstance(result, int) and result < 0 else result
