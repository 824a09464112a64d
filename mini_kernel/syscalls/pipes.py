"""pipe(2) and eventfd(2)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode, EventFile
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import EINVAL
from mini_kernel.uapi.fcntl import O_CLOEXEC, O_NONBLOCK
from mini_kernel.uapi.numbers import SYS_eventfd, SYS_eventfd2, SYS_pipe, SYS_pipe2
from mini_kernel.uapi.poll import EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_EVENT_FLAGS: Final = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE


@syscall(SYS_pipe2)
def sys_pipe2(k: "Kernel", t: "Task", address: int, flags: int) -> int:
    """pipe2(2), in stream mode only. Neither descriptor exists if either cannot, or cannot be told."""
    flags = u32(flags)
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise SysError(EINVAL)
    reader, writer = k.vfs.pipe(flags & O_NONBLOCK)
    cloexec = bool(flags & O_CLOEXEC)
    try:
        read_fd = t.files.install(reader, cloexec)
    except SysError:
        writer.put()
        raise
    try:
        write_fd = t.files.install(writer, cloexec)
    except SysError:
        t.files.close(read_fd)
        raise
    try:
        uaccess.write(t.mm, address, read_fd.to_bytes(4, "little") + write_fd.to_bytes(4, "little"))
    except SysError:
        t.files.close(read_fd)
        t.files.close(write_fd)
        raise
    return 0


@syscall(SYS_pipe)
def sys_pipe(k: "Kernel", t: "Task", address: int) -> int:
    """pipe(2)."""
    return sys_pipe2(k, t, address, 0)


@syscall(SYS_eventfd2)
def sys_eventfd2(k: "Kernel", t: "Task", count: int, flags: int) -> int:
    """eventfd2(2)."""
    flags = u32(flags)
    if flags & ~_EVENT_FLAGS:
        raise SysError(EINVAL)
    file = EventFile(AnonymousInode(k.vfs.sb, 0o600), flags, u32(count), bool(flags & EFD_SEMAPHORE))
    return t.files.install(file, bool(flags & EFD_CLOEXEC))


@syscall(SYS_eventfd)
def sys_eventfd(k: "Kernel", t: "Task", count: int) -> int:
    """eventfd(2)."""
    return sys_eventfd2(k, t, count, 0)
