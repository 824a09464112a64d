"""What threads share and how they agree on it: unshare, kcmp, membarrier, getcpu."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi import sched
from mini_kernel.uapi.errno import EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import SYS_getcpu, SYS_kcmp, SYS_membarrier, SYS_unshare

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ADDRESS_SPACE: Final = sched.CLONE_VM | sched.CLONE_SIGHAND | sched.CLONE_THREAD
_MAY_UNSHARE: Final = _ADDRESS_SPACE | sched.CLONE_FS | sched.CLONE_FILES | sched.CLONE_SYSVSEM


@syscall(SYS_unshare)
def sys_unshare(k: "Kernel", t: Task, flags: int) -> int:
    """unshare(2), without namespaces. Memory can only be "unshared" by who shares it with nobody."""
    if flags & ~_MAY_UNSHARE:
        raise SysError(EINVAL)
    if flags & _ADDRESS_SPACE and (len(t.process.tasks) > 1 or (flags & sched.CLONE_VM and t.mm.users > 1)):
        raise SysError(EINVAL)
    if flags & sched.CLONE_FS:
        t.fs = t.fs.copy()
    if flags & sched.CLONE_FILES and t.files.users > 1:
        shared, t.files = t.files, t.files.copy()
        shared.put_table()
    return 0


# -- kcmp --------------------------------------------------------------------------------------------

#: What tasks may have in common. Here nobody has an I/O context or a list of semaphore undos of his own.
_OBJECTS: Final[dict[int, Callable[[Task], Any]]] = {
    sched.KCMP_VM: lambda t: t.mm,
    sched.KCMP_FILES: lambda t: t.files,
    sched.KCMP_FS: lambda t: t.fs,
    sched.KCMP_SIGHAND: lambda t: t.process.actions,
    sched.KCMP_IO: lambda t: None,
    sched.KCMP_SYSVSEM: lambda t: None,
}


@syscall(SYS_kcmp)
def sys_kcmp(k: "Kernel", t: Task, pid1: int, pid2: int, kind: int, index1: int, index2: int) -> int:
    """kcmp(2): 0 if two tasks share an object, else 1 or 2 as the first was met before or after the second.

    Linux orders by scrambled addresses. Here the order is that of the lowest (thread, descriptor) that has the object.
    """
    one, two = k.tasks.get(s32(pid1)), k.tasks.get(s32(pid2))
    if one is None or two is None:
        raise SysError(ESRCH)
    if s32(kind) == sched.KCMP_FILE:
        objects = one.files.get(u32(index1)), two.files.get(u32(index2))
        held = [file for tid in sorted(k.tasks) for _fd, file in sorted(k.tasks[tid].files.fds.items())]
    elif s32(kind) in _OBJECTS:
        get = _OBJECTS[s32(kind)]
        objects = get(one), get(two)
        held = [get(k.tasks[tid]) for tid in sorted(k.tasks)]
    else:
        raise SysError(EINVAL)
    if objects[0] is objects[1]:
        return 0
    first = next(held_object for held_object in held if held_object is objects[0] or held_object is objects[1])
    return 1 if first is objects[0] else 2


# -- membarrier, getcpu ------------------------------------------------------------------------------

#: The commands that act, and the registration each needs. With one CPU every switch between threads is a full barrier.
_BARRIERS: Final = {
    sched.MEMBARRIER_CMD_GLOBAL: 0,
    sched.MEMBARRIER_CMD_GLOBAL_EXPEDITED: 0,
    sched.MEMBARRIER_CMD_PRIVATE_EXPEDITED: sched.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    sched.MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE: sched.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
}
_REGISTRATIONS: Final = (
    sched.MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
    sched.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    sched.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
)
_SUPPORTED: Final = sum(_BARRIERS) + sum(_REGISTRATIONS) + sched.MEMBARRIER_CMD_GET_REGISTRATIONS


@syscall(SYS_membarrier)
def sys_membarrier(k: "Kernel", t: Task, command: int, flags: int, cpu: int) -> int:
    """membarrier(2), without restartable sequences."""
    command = s32(command)
    if u32(flags):
        raise SysError(EINVAL)
    if command == sched.MEMBARRIER_CMD_QUERY:
        return _SUPPORTED
    if command == sched.MEMBARRIER_CMD_GET_REGISTRATIONS:
        return t.mm.barriers
    if command in _REGISTRATIONS:
        t.mm.barriers |= command
        return 0
    if command not in _BARRIERS:
        raise SysError(EINVAL)
    needed = _BARRIERS[command]
    if needed & ~t.mm.barriers:
        raise SysError(EPERM)
    return 0


@syscall(SYS_getcpu)
def sys_getcpu(k: "Kernel", t: Task, cpu: int, node: int) -> int:
    """getcpu(2): there is one."""
    for address in (cpu, node):
        if address:
            uaccess.write_u32(t.mm, address, 0)
    return 0
