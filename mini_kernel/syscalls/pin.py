"""pin: a lab call that Linux has in other clothes (io_uring's registered buffers, RDMA memory regions, vmsplice)."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode
from mini_kernel.fs.pin import PinFile
from mini_kernel.mm.pin import pin_pages
from mini_kernel.syscalls.table import syscall
from mini_kernel.uapi.errno import EFAULT, EINVAL, ENOMEM
from mini_kernel.uapi.numbers import SYS_pin
from mini_kernel.x86 import PAGE_SIZE, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task


@syscall(SYS_pin)
def sys_pin(k: "Kernel", t: "Task", address: int, length: int) -> int:
    """Pin the pages of [address, address + length), which must be writable; a descriptor whose bytes they are.

    pread and pwrite on it reach the frames themselves, as a device would; closing it, everywhere, unpins them.
    EINVAL for no length, EFAULT for memory that may not be written, ENOMEM, EMFILE. Not in Linux.
    """
    if not length:
        raise SysError(EINVAL)
    if address + length > TASK_SIZE:
        raise SysError(EFAULT)
    if length // PAGE_SIZE > k.frames.total:
        raise SysError(ENOMEM)
    pfns = pin_pages(t.mm, address, length)
    file = PinFile(AnonymousInode(k.vfs.sb, 0o600), k.frames, pfns, address & (PAGE_SIZE - 1), length)
    return t.files.install(file)
