"""wait4(2) and waitid(2): what happened to children."""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel import process
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.pidfd import pid_file
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.syscalls.usage import pack_usage
from mini_kernel.task import Process, Task
from mini_kernel.uapi.errno import EAGAIN, ECHILD, EINVAL, ESRCH
from mini_kernel.uapi.fcntl import O_NONBLOCK
from mini_kernel.uapi.numbers import SYS_wait4, SYS_waitid
from mini_kernel.uapi.signal import CLD_CONTINUED, CLD_STOPPED, SIGCHLD, SIGCONT
from mini_kernel.uapi.wait import (
    P_ALL,
    P_PGID,
    P_PID,
    P_PIDFD,
    WCONTINUED,
    WEXITED,
    WNOHANG,
    WNOWAIT,
    WSTOPPED,
    WUNTRACED,
)
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_WNOTHREAD: Final = 0x2000_0000  # __WNOTHREAD and so on of uapi.wait: names that a class or module would mangle
_WALL: Final = 0x4000_0000
_WCLONE: Final = 0x8000_0000
_WHICH: Final = _WNOTHREAD | _WALL | _WCLONE
_HEAD, _REST = struct.Struct("<iii"), struct.Struct("<iIi")  # of siginfo_t: what waitid fills in, with a hole between


class _Wanted(NamedTuple):
    """Which children a call is about."""

    kind: int  # P_*
    ident: int  # process or group
    options: int

    def takes(self, t: Task, child: Process) -> bool:
        """True for a child that is meant (Linux eligible_child)."""
        if self.kind == P_PID and child.tgid != self.ident:
            return False
        if self.kind == P_PGID and child.pgid != self.ident:
            return False
        if self.options & _WNOTHREAD and child.parent_tid != t.tid:
            return False
        return bool(self.options & _WALL) or (child.exit_signal != SIGCHLD) == bool(self.options & _WCLONE)


class _Event(NamedTuple):
    """What happened to a child."""

    child: Process
    status: int  # as wait4 reports it
    code: int  # CLD_*
    value: int  # si_status


def _event(child: Process, options: int) -> _Event | None:
    """What is worth reporting about a child, None if nothing is."""
    if child.exit_status is not None:
        if not options & WEXITED:
            return None
        info = process.child_info(child, SIGCHLD)
        return _Event(child, child.exit_status, info.code, info.value)
    if child.stop_signal and child.stopped and options & WSTOPPED:
        return _Event(child, child.stop_signal << 8 | 0x7F, CLD_STOPPED, child.stop_signal)
    if child.continued and options & WCONTINUED:
        return _Event(child, 0xFFFF, CLD_CONTINUED, SIGCONT)
    return None


def _wait(k: "Kernel", t: Task, wanted: _Wanted) -> _Event | None:
    """What happened; None with WNOHANG if nothing did yet. Consumes the event but for WNOWAIT."""
    children = [c for c in t.process.children if wanted.takes(t, c)]
    if not children:
        raise SysError(ECHILD)
    for child in children:
        event = _event(child, wanted.options)
        if event is None:
            continue
        if not wanted.options & WNOWAIT:
            _consume(k, event)
        return event
    if wanted.options & WNOHANG:
        return None
    raise Block(t.process.child_events)


def _consume(k: "Kernel", event: _Event) -> None:
    child = event.child
    if child.exit_status is not None:
        process.reap(k, child)
    elif event.code == CLD_STOPPED:
        child.stop_signal = 0
    else:
        child.continued = False


def _usage(child: Process) -> bytes:
    return pack_usage(child.ledger, child.children_ledger)


@syscall(SYS_wait4)
def sys_wait4(k: "Kernel", t: Task, pid: int, status: int, options: int, rusage: int) -> int:
    """wait4(2). A child whose status cannot be stored is gone all the same."""
    ident, options = s32(pid), u32(options)
    if options & ~(WNOHANG | WUNTRACED | WCONTINUED | _WHICH):
        raise SysError(EINVAL)
    if ident == -(1 << 31):
        raise SysError(ESRCH)
    kind = P_ALL if ident == -1 else P_PID if ident > 0 else P_PGID
    event = _wait(k, t, _Wanted(kind, abs(ident) or t.pgid, options | WEXITED))
    if event is None:
        return 0
    if status:
        uaccess.write_u32(t.mm, status, event.status)
    if rusage:
        uaccess.write(t.mm, rusage, _usage(event.child))
    return event.child.tgid


def _target(t: Task, kind: int, ident: int, options: int) -> tuple[_Wanted, bool]:
    """Whom waitid(2) means, and if its pidfd must not wait. Raises SysError EINVAL, EBADF."""
    if kind == P_PIDFD:
        if s32(ident) < 0:
            raise SysError(EINVAL)
        file = pid_file(t, ident)
        return _Wanted(P_PID, file.process.tgid, options), bool(file.flags & O_NONBLOCK)
    if kind not in (P_ALL, P_PID, P_PGID):
        raise SysError(EINVAL)
    if (kind == P_PID and s32(ident) <= 0) or (kind == P_PGID and s32(ident) < 0):
        raise SysError(EINVAL)
    return _Wanted(kind, s32(ident) or t.pgid, options), False


@syscall(SYS_waitid)
def sys_waitid(k: "Kernel", t: Task, kind: int, ident: int, info: int, options: int, rusage: int) -> int:
    """waitid(2). Without an event the fields that it would fill in are 0."""
    kind, options = u32(kind), u32(options)
    if options & ~(WNOHANG | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT | _WHICH):
        raise SysError(EINVAL)
    if not options & (WEXITED | WSTOPPED | WCONTINUED):
        raise SysError(EINVAL)
    wanted, hurried = _target(t, kind, ident, options)
    event = _wait(k, t, wanted._replace(options=options | (WNOHANG if hurried else 0)))
    if event is None and hurried and not options & WNOHANG:
        raise SysError(EAGAIN)
    if event is not None and rusage:
        uaccess.write(t.mm, rusage, _usage(event.child))
    if info:
        head, rest = (0, 0, 0), (0, 0, 0)
        if event is not None:
            head, rest = (SIGCHLD, 0, event.code), (event.child.tgid, event.child.uid, event.value)
        uaccess.write(t.mm, info, _HEAD.pack(*head))
        uaccess.write(t.mm, info + 16, _REST.pack(*rest))
    return 0
