"""pipe(2)."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import EINVAL
from mini_kernel.uapi.fcntl import O_CLOEXEC, O_NONBLOCK
from mini_kernel.uapi.numbers import SYS_pipe, SYS_pipe2

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task


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
