"""pipe(2)."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.syscalls.args import install_pair
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
    install_pair(t, reader, writer, bool(flags & O_CLOEXEC), address)
    return 0


@syscall(SYS_pipe)
def sys_pipe(k: "Kernel", t: "Task", address: int) -> int:
    """pipe(2)."""
    return sys_pipe2(k, t, address, 0)
