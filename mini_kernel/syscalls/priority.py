"""getpriority(2) and setpriority(2): the nice value of threads. It is kept and inherited; every thread runs alike."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.syscalls.table import s32, syscall
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EACCES, EINVAL, ESRCH
from mini_kernel.uapi.numbers import SYS_getpriority, SYS_setpriority
from mini_kernel.uapi.resource import PRIO_MAX, PRIO_MIN, PRIO_PGRP, PRIO_PROCESS, PRIO_USER

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


def _targets(k: "Kernel", t: Task, which: int, who: int) -> list[Task]:
    """The threads meant: one, a process group's, a user's; 0 is the caller's own. Raises SysError EINVAL, ESRCH."""
    if which == PRIO_PROCESS:
        found = [t] if not who else [k.tasks[who]] if who in k.tasks else []
    elif which == PRIO_PGRP:
        found = [task for task in k.tasks.values() if task.pgid == (who or t.pgid)]
    elif which == PRIO_USER:
        found = [task for task in k.tasks.values() if task.fs.uid == (who or t.fs.uid)]
    else:
        raise SysError(EINVAL)
    if not found:
        raise SysError(ESRCH)
    return found


@syscall(SYS_getpriority)
def sys_getpriority(k: "Kernel", t: Task, which: int, who: int) -> int:
    """getpriority(2): 20 - nice, of the most favoured."""
    return 20 - min(task.nice for task in _targets(k, t, s32(which), s32(who)))


@syscall(SYS_setpriority)
def sys_setpriority(k: "Kernel", t: Task, which: int, who: int, nice: int) -> int:
    """setpriority(2). Only root may become less nice (EACCES)."""
    value = max(PRIO_MIN, min(s32(nice), PRIO_MAX - 1))
    targets = _targets(k, t, s32(which), s32(who))
    if t.fs.uid and any(value < task.nice for task in targets):
        raise SysError(EACCES)
    for task in targets:
        task.nice = value
    return 0
