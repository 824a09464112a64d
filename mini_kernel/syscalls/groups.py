"""Process groups and sessions: getpgid, setpgid, getsid, setsid (Linux kernel/sys.c)."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.syscalls.table import s32, syscall
from mini_kernel.task import Process, Task
from mini_kernel.uapi.errno import EACCES, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import SYS_getpgid, SYS_getpgrp, SYS_getsid, SYS_setpgid, SYS_setsid

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


def _process(k: "Kernel", t: Task, pid: int) -> Process:
    """The process of this id, or of the thread of this id; the caller's for 0. Raises SysError(ESRCH)."""
    if not pid:
        return t.process
    found = k.processes.get(pid) or (k.tasks[pid].process if pid in k.tasks else None)
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
    """setpgid(2): of the caller, or of a child that has not called execve(2) yet."""
    ident = s32(pid) or t.tgid
    group = s32(pgid) or ident
    if group < 0:
        raise SysError(EINVAL)
    target = _process(k, t, ident)
    if target.tgid != ident:
        raise SysError(EINVAL)
    if target.parent is t.process:
        if target.sid != t.sid:
            raise SysError(EPERM)
        if target.executed:
            raise SysError(EACCES)
    elif target is not t.process:
        raise SysError(ESRCH)
    if target.sid == target.tgid:
        raise SysError(EPERM)
    if group != ident and not any(p.pgid == group and p.sid == t.sid for p in k.processes.values()):
        raise SysError(EPERM)
    target.pgid = group
    return 0
