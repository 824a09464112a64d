"""pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode
from mini_kernel.pidfd import PidFile
from mini_kernel.syscalls.args import file_of
from mini_kernel.syscalls.sending import check_number, read_info, require_kill, send, send_thread
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi.errno import EBADF, EINVAL, ENOENT, EPERM, ESRCH
from mini_kernel.uapi.fcntl import O_EXCL, O_NONBLOCK
from mini_kernel.uapi.numbers import SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal
from mini_kernel.uapi.signal import SI_TKILL, SI_USER

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

PIDFD_THREAD: Final = O_EXCL
#: Whom pidfd_send_signal(2) means (Linux uapi/linux/pidfd.h); 0: what the descriptor stands for.
_THREAD, _PROCESS, _GROUP = 1, 2, 4


@syscall(SYS_pidfd_open)
def sys_pidfd_open(k: "Kernel", t: Task, pid: int, flags: int) -> int:
    """pidfd_open(2)."""
    number, flags = s32(pid), u32(flags)
    if flags & ~(O_NONBLOCK | PIDFD_THREAD) or number <= 0:
        raise SysError(EINVAL)
    thread = k.tasks.get(number)
    process = k.processes.get(number) or (thread.process if thread else None)
    if process is None:
        raise SysError(ESRCH)
    if flags & PIDFD_THREAD:
        if thread is None:
            raise SysError(ESRCH)
    elif process.tgid != number:
        raise SysError(ENOENT)
    target = thread if flags & PIDFD_THREAD else None
    return t.files.install(PidFile(AnonymousInode(k.vfs.sb, 0o600), flags, process, target), cloexec=True)


def pid_file(t: Task, fd: int) -> PidFile:
    """The pidfd. Raises SysError(EBADF) for any other file, too."""
    file = file_of(t, fd)
    if not isinstance(file, PidFile):
        raise SysError(EBADF)
    return file


@syscall(SYS_pidfd_send_signal)
def sys_pidfd_send_signal(k: "Kernel", t: Task, fd: int, signo: int, address: int, flags: int) -> int:
    """pidfd_send_signal(2)."""
    flags = u32(flags)
    if flags not in (0, _THREAD, _PROCESS, _GROUP):
        raise SysError(EINVAL)
    file = pid_file(t, fd)
    process, number = file.process, s32(signo)
    to_thread = flags == _THREAD or (flags == 0 and file.thread is not None)
    if address:
        info = read_info(t, signo, address, check=True)
        if (info.code >= 0 or info.code == SI_TKILL) and process is not t.process:
            raise SysError(EPERM)
    else:
        info = SigInfo(number, SI_TKILL if to_thread else SI_USER, t.tgid, t.cred.ruid)
    if process.reaped:
        raise SysError(ESRCH)
    require_kill(t, process, check_number(signo))
    if flags == _GROUP:
        for member in [p for p in k.processes.values() if p.pgid == process.tgid]:
            send(k, member, info)
    elif to_thread:
        thread = file.thread or next((task for task in process.tasks if task.tid == process.tgid), None)
        if thread is None or not thread.alive:
            raise SysError(ESRCH)
        send_thread(k, thread, info)
    else:
        send(k, process, info)
    return 0


@syscall(SYS_pidfd_getfd)
def sys_pidfd_getfd(k: "Kernel", t: Task, fd: int, target: int, flags: int) -> int:
    """pidfd_getfd(2): the same open file as that process's descriptor."""
    if u32(flags):
        raise SysError(EINVAL)
    file = pid_file(t, fd)
    thread = file.thread or next(iter(file.process.tasks), None)
    if thread is None or not thread.alive:
        raise SysError(ESRCH)
    return t.files.install(thread.files.get(target).get(), cloexec=True)
