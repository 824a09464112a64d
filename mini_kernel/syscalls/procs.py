"""fork, clone, execve, exit, wait and the ids of processes."""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel import elf, process
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.syscalls.usage import pack_usage
from mini_kernel.task import Process, SigInfo, Task
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import (
    E2BIG,
    ECHILD,
    EINVAL,
    ENAMETOOLONG,
    ENOENT,
    ENOEXEC,
    EPERM,
    ESRCH,
)
from mini_kernel.uapi.numbers import (
    SYS_clone,
    SYS_clone3,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_fork,
    SYS_getpgid,
    SYS_getpgrp,
    SYS_getpid,
    SYS_getppid,
    SYS_getsid,
    SYS_gettid,
    SYS_odfork,
    SYS_sched_yield,
    SYS_set_tid_address,
    SYS_setpgid,
    SYS_setsid,
    SYS_sfork,
    SYS_vfork,
    SYS_wait4,
    SYS_waitid,
)
from mini_kernel.uapi.sched import (
    CLONE_ARGS_SIZE_VER0,
    CLONE_ARGS_SIZE_VER2,
    CLONE_DETACHED,
    CLONE_INTO_CGROUP,
    CLONE_PARENT,
    CLONE_PIDFD,
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
)
from mini_kernel.uapi.signal import CLD_CONTINUED, CLD_STOPPED, SIGCHLD, SIGCONT
from mini_kernel.uapi.wait import (
    P_ALL,
    P_PGID,
    P_PID,
    WCONTINUED,
    WEXITED,
    WNOHANG,
    WNOWAIT,
    WSTOPPED,
    WUNTRACED,
)
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
) -> int:
    """The common end of the fork family: a vfork parent waits until the child lets go of its memory."""
    if "child" in t.restart:
        child = k.tasks.get(t.restart["child"])
        if child is not None and child.vfork_done is not None:
            raise Block(child.vfork_done, interruptible=False)
        return t.restart["child"]
    child = process.clone(k, t, flags, exit_signal, stack, ptid, ctid, tls, tid=tid)
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
    if flags & CLONE_PIDFD:
        raise SysError(EINVAL)
    return _clone(k, t, flags & ~0xFF, flags & 0xFF, stack, ptid, ctid, tls)


@syscall(SYS_clone3)
def sys_clone3(k: "Kernel", t: Task, address: int, size: int) -> int:
    """clone3(2), but for pidfds and cgroups."""
    if size > PAGE_SIZE:
        raise SysError(E2BIG)
    if size < CLONE_ARGS_SIZE_VER0:
        raise SysError(EINVAL)
    raw = uaccess.read(t.mm, address, size)
    if any(raw[CLONE_ARGS_SIZE_VER2:]):
        raise SysError(E2BIG)
    a = Clone3(*_CLONE3.unpack_from(raw.ljust(CLONE_ARGS_SIZE_VER2, b"\0")))
    tid = _wanted_tid(t, a)
    if a.exit_signal > _NSIG or a.flags & (CLONE_DETACHED | 0xFF) or a.flags & (CLONE_PIDFD | CLONE_INTO_CGROUP):
        raise SysError(EINVAL)
    if a.flags & (CLONE_THREAD | CLONE_PARENT) and a.exit_signal:
        raise SysError(EINVAL)
    if bool(a.stack) != bool(a.stack_size) or a.stack + a.stack_size > TASK_SIZE:
        raise SysError(EINVAL)
    return _clone(k, t, a.flags, a.exit_signal, a.stack + a.stack_size, a.parent_tid, a.child_tid, a.tls, tid)


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


# -- waiting -----------------------------------------------------------------------------------------


def _matches(t: Task, child: Process, kind: int, ident: int) -> bool:
    if kind == P_ALL:
        return True
    return child.tgid == ident if kind == P_PID else child.pgid == (ident or t.pgid)


def _event(child: Process, options: int) -> tuple[int, int] | None:
    """(wait status, CLD code or 0) of something worth reporting about a child, None if nothing is."""
    if child.exit_status is not None and options & WEXITED:
        return child.exit_status, 0
    if child.stop_signal and child.stopped and options & WSTOPPED:
        return child.stop_signal << 8 | 0x7F, CLD_STOPPED
    if child.continued and options & WCONTINUED:
        return 0xFFFF, CLD_CONTINUED
    return None


def _wait(k: "Kernel", t: Task, kind: int, ident: int, options: int) -> tuple[Process, int, int] | None:
    """Find (child, status, code); None with WNOHANG if nothing happened yet. Consumes the event but for WNOWAIT."""
    candidates = [c for c in t.process.children if _matches(t, c, kind, ident)]
    if not candidates:
        raise SysError(ECHILD)
    for child in candidates:
        event = _event(child, options)
        if event is None:
            continue
        if not options & WNOWAIT:
            if child.exit_status is not None:
                process.reap(k, child)
            else:
                child.stop_signal, child.continued = 0, False
        return child, *event
    if options & WNOHANG:
        return None
    raise Block(t.process.child_events)


@syscall(SYS_wait4)
def sys_wait4(k: "Kernel", t: Task, pid: int, status: int, options: int, rusage: int) -> int:
    """wait4(2)."""
    ident, options = s32(pid), u32(options)
    if options & ~(WNOHANG | WUNTRACED | WCONTINUED | _ANY_CHILD):
        raise SysError(EINVAL)
    if ident == -(1 << 31):
        raise SysError(ESRCH)
    kind = P_ALL if ident == -1 else P_PID if ident > 0 else P_PGID
    found = _wait(k, t, kind, abs(ident), options | WEXITED)
    if found is None:
        return 0
    child, value, _code = found
    if status:
        uaccess.write_u32(t.mm, status, value)
    if rusage:
        uaccess.write(t.mm, rusage, pack_usage(child.ledger, child.children_ledger))
    return child.tgid


@syscall(SYS_waitid)
def sys_waitid(k: "Kernel", t: Task, kind: int, ident: int, info: int, options: int, rusage: int) -> int:
    """waitid(2) by pid and process group."""
    kind, options = u32(kind), u32(options)
    if options & ~(WNOHANG | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT | _ANY_CHILD):
        raise SysError(EINVAL)
    if not options & (WEXITED | WSTOPPED | WCONTINUED) or kind not in (P_ALL, P_PID, P_PGID):
        raise SysError(EINVAL)
    if kind == P_PID and s32(ident) <= 0:
        raise SysError(EINVAL)
    found = _wait(k, t, kind, u32(ident), options)
    if found is None:
        if info:
            uaccess.write(t.mm, info, bytes(128))
        return 0
    child, value, code = found
    if rusage:
        uaccess.write(t.mm, rusage, pack_usage(child.ledger, child.children_ledger))
    if info:
        uaccess.write(t.mm, info, _wait_info(child, value, code))
    return 0


def _wait_info(child: Process, value: int, code: int) -> bytes:
    if code:
        signo = SIGCONT if code == CLD_CONTINUED else value >> 8
        return structs.pack_siginfo(SIGCHLD, code, structs.siginfo_child(child.tgid, 0, signo))
    info: SigInfo = process.child_info(child, SIGCHLD)
    return structs.pack_siginfo(SIGCHLD, info.code, structs.siginfo_child(info.pid, info.uid, info.value))


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


def _process(k: "Kernel", t: Task, pid: int) -> Process:
    """The process with this id, the caller's for 0. Raises SysError(ESRCH)."""
    if not pid:
        return t.process
    found = k.processes.get(pid)
    if found is None:
        raise SysError(ESRCH)
    return found


@syscall(SYS_getpgrp)
def sys_getpgrp(k: "Kernel", t: Task) -> int:
    """getpgrp(2)."""
    return t.pgid


@syscall(SYS_getpgid)
def sys_getpgid(k: "Kernel", t: Task, pid: int) -> int:
    """getpgid(2)."""
    return _process(k, t, s32(pid)).pgid


@syscall(SYS_getsid)
def sys_getsid(k: "Kernel", t: Task, pid: int) -> int:
    """getsid(2)."""
    return _process(k, t, s32(pid)).sid


@syscall(SYS_setsid)
def sys_setsid(k: "Kernel", t: Task) -> int:
    """setsid(2)."""
    if any(p.pgid == t.tgid for p in k.processes.values()):
        raise SysError(EPERM)
    t.process.sid = t.process.pgid = t.tgid
    return t.tgid


@syscall(SYS_setpgid)
def sys_setpgid(k: "Kernel", t: Task, pid: int, pgid: int) -> int:
    """setpgid(2)."""
    ident, group = s32(pid), s32(pgid)
    if group < 0:
        raise SysError(EINVAL)
    target = _process(k, t, ident)
    if target is not t.process and target.parent is not t.process:
        raise SysError(ESRCH)
    if target.sid == target.tgid or target.sid != t.sid:
        raise SysError(EPERM)
    group = group or target.tgid
    if group != target.tgid and not any(p.pgid == group and p.sid == t.sid for p in k.processes.values()):
        raise SysError(EPERM)
    target.pgid = group
    return 0
