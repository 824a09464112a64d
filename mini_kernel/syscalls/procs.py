"""fork, clone, execve, exit, wait and the ids of processes."""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel import elf, process
from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousInode
from mini_kernel.mm import uaccess
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.pidfd import PidFile
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import (
    E2BIG,
    EINVAL,
    ENAMETOOLONG,
    ENOENT,
    ENOEXEC,
)
from mini_kernel.uapi.numbers import (
    SYS_clone,
    SYS_clone3,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_fork,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_odfork,
    SYS_sched_yield,
    SYS_set_tid_address,
    SYS_sfork,
    SYS_vfork,
)
from mini_kernel.uapi.sched import (
    CLONE_ARGS_SIZE_VER0,
    CLONE_ARGS_SIZE_VER2,
    CLONE_DETACHED,
    CLONE_INTO_CGROUP,
    CLONE_PARENT,
    CLONE_PARENT_SETTID,
    CLONE_PIDFD,
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
)
from mini_kernel.uapi.signal import SIGCHLD
from mini_kernel.wait import Block
from mini_kernel.x86 import PAGE_SIZE, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ANY_CHILD: Final = (
    0x2000_0000 | 0x4000_0000 | 0x8000_0000
)  # __WNOTHREAD, __WALL, __WCLONE: all children are alike here
_CLONE3: Final = struct.Struct("<11Q")
_NSIG: Final = 64
_MAX_NAMESPACES: Final = 32  # MAX_PID_NS_LEVEL


class Clone3(NamedTuple):
    """struct clone_args."""

    flags: int
    pidfd: int
    child_tid: int
    parent_tid: int
    exit_signal: int
    stack: int
    stack_size: int
    tls: int
    set_tid: int
    set_tid_size: int
    cgroup: int


# -- making processes --------------------------------------------------------------------------------


def _clone(
    k: "Kernel",
    t: Task,
    flags: int,
    exit_signal: int,
    stack: int = 0,
    ptid: int = 0,
    ctid: int = 0,
    tls: int = 0,
    tid: int = 0,
    pidfd: int = 0,
) -> int:
    """The common end of the fork family: a vfork parent waits until the child lets go of its memory.

    `pidfd`: where a descriptor of the child goes (CLONE_PIDFD), which the child itself does not get.
    """
    if "child" in t.restart:
        child = k.tasks.get(t.restart["child"])
        if child is not None and child.vfork_done is not None:
            raise Block(child.vfork_done, interruptible=False)
        return t.restart["child"]
    if flags & CLONE_PIDFD:
        uaccess.write_u32(t.mm, pidfd, t.files.free())
    child = process.clone(k, t, flags & ~CLONE_PIDFD, exit_signal, stack, ptid, ctid, tls, tid=tid)
    if flags & CLONE_PIDFD:
        thread = child if flags & CLONE_THREAD else None
        t.files.install(PidFile(AnonymousInode(k.vfs.sb, 0o600), 0, child.process, thread), cloexec=True)
    if child.vfork_done is not None:
        t.restart["child"] = child.tid
        raise Block(child.vfork_done, interruptible=False)
    return child.tid


@syscall(SYS_fork)
def sys_fork(k: "Kernel", t: Task) -> int:
    """fork(2)."""
    return process.clone(k, t, 0, SIGCHLD).tid


@syscall(SYS_odfork)
def sys_odfork(k: "Kernel", t: Task) -> int:
    """fork(2) by on-demand fork, this once, whatever the process's own policy is. Not in Linux."""
    return process.clone(k, t, 0, SIGCHLD, memory=odfork_mm, memory_kind="odf").tid


@syscall(SYS_sfork)
def sys_sfork(k: "Kernel", t: Task, length: int, flags: int, addr: int) -> int:
    """fork(2) with `length` bytes at *addr shared by parent and child; `flags` say who may write. Not in Linux."""
    return process.sfork(k, t, length, u32(flags), addr).tid


@syscall(SYS_vfork)
def sys_vfork(k: "Kernel", t: Task) -> int:
    """vfork(2)."""
    return _clone(k, t, CLONE_VM | CLONE_VFORK, SIGCHLD)


@syscall(SYS_clone)
def sys_clone(k: "Kernel", t: Task, flags: int, stack: int, ptid: int, ctid: int, tls: int) -> int:
    """clone(2), x86-64 argument order."""
    flags = u32(flags)
    if flags & CLONE_PIDFD and flags & (CLONE_PARENT_SETTID | CLONE_DETACHED):
        raise SysError(EINVAL)
    return _clone(k, t, flags & ~0xFF, flags & 0xFF, stack, ptid, ctid, tls, pidfd=ptid)


@syscall(SYS_clone3)
def sys_clone3(k: "Kernel", t: Task, address: int, size: int) -> int:
    """clone3(2), but for cgroups."""
    if size > PAGE_SIZE:
        raise SysError(E2BIG)
    if size < CLONE_ARGS_SIZE_VER0:
        raise SysError(EINVAL)
    raw = uaccess.read(t.mm, address, size)
    if any(raw[CLONE_ARGS_SIZE_VER2:]):
        raise SysError(E2BIG)
    a = Clone3(*_CLONE3.unpack_from(raw.ljust(CLONE_ARGS_SIZE_VER2, b"\0")))
    tid = _wanted_tid(t, a)
    if a.exit_signal > _NSIG or a.flags & (CLONE_DETACHED | 0xFF) or a.flags & CLONE_INTO_CGROUP:
        raise SysError(EINVAL)
    if a.flags & (CLONE_THREAD | CLONE_PARENT) and a.exit_signal:
        raise SysError(EINVAL)
    if bool(a.stack) != bool(a.stack_size) or a.stack + a.stack_size > TASK_SIZE:
        raise SysError(EINVAL)
    return _clone(k, t, a.flags, a.exit_signal, a.stack + a.stack_size, a.parent_tid, a.child_tid, a.tls, tid, a.pidfd)


def _wanted_tid(t: Task, a: "Clone3") -> int:
    """The number that clone3(2) is to give, 0 for any: there is one namespace. Raises SysError EINVAL, EFAULT."""
    if a.set_tid_size > _MAX_NAMESPACES or bool(a.set_tid) != bool(a.set_tid_size):
        raise SysError(EINVAL)
    if not a.set_tid:
        return 0
    numbers = uaccess.read(t.mm, a.set_tid, 4 * a.set_tid_size)
    tid = int.from_bytes(numbers[:4], "little", signed=True)
    if a.set_tid_size > 1 or not 0 < tid < process.PID_MAX:
        raise SysError(EINVAL)
    return tid


def _strings(t: Task, address: int) -> list[bytes]:
    """A NULL-terminated array of string pointers; NULL itself counts as empty, as in Linux."""
    out: list[bytes] = []
    total = 0
    while address:
        pointer = uaccess.read_u64(t.mm, address + 8 * len(out))
        if not pointer:
            break
        try:
            out.append(uaccess.read_cstr(t.mm, pointer, 32 * 4096))
        except SysError as error:
            raise SysError(E2BIG if error.errno == ENAMETOOLONG else error.errno) from None
        total += len(out[-1]) + 9
        if total > 2 << 20:
            raise SysError(E2BIG)
    return out


@syscall(SYS_execve)
def sys_execve(k: "Kernel", t: Task, path: int, argv: int, envp: int) -> int:
    """execve(2)."""
    name = uaccess.read_cstr(t.mm, path)
    if not name:
        raise SysError(ENOENT)
    arguments, environment = _strings(t, argv), _strings(t, envp)
    try:
        k.exec(t, name, arguments or [b""], environment)
    except elf.ElfError:
        raise SysError(ENOEXEC) from None
    return 0


# -- ending ------------------------------------------------------------------------------------------


@syscall(SYS_exit)
def sys_exit(k: "Kernel", t: Task, status: int) -> int:
    """exit(2) of one thread."""
    if k.observer:
        k.observer.syscall_exit(t, SYS_exit, (status,), None)
    process.exit_task(k, t, (status & 0xFF) << 8)
    return 0


@syscall(SYS_exit_group)
def sys_exit_group(k: "Kernel", t: Task, status: int) -> int:
    """exit_group(2)."""
    if k.observer:
        k.observer.syscall_exit(t, SYS_exit_group, (status,), None)
    process.exit_group(k, t.process, (status & 0xFF) << 8)
    return 0


# -- ids ---------------------------------------------------------------------------------------------


@syscall(SYS_getpid)
def sys_getpid(k: "Kernel", t: Task) -> int:
    """getpid(2)."""
    return t.process.tgid


@syscall(SYS_gettid)
def sys_gettid(k: "Kernel", t: Task) -> int:
    """gettid(2)."""
    return t.tid


@syscall(SYS_getppid)
def sys_getppid(k: "Kernel", t: Task) -> int:
    """getppid(2): 1, as if init, for orphans; 0 for the first process."""
    parent = t.process.parent
    if parent is not None:
        return parent.tgid
    return 0 if t.process is k.main else 1


@syscall(SYS_set_tid_address)
def sys_set_tid_address(k: "Kernel", t: Task, address: int) -> int:
    """set_tid_address(2)."""
    t.clear_child_tid = address
    return t.tid


@syscall(SYS_sched_yield)
def sys_sched_yield(k: "Kernel", t: Task) -> int:
    """sched_yield(2)."""
    if k.sched.run_queue.tasks:
        k.sched.yield_cpu()
    return 0
