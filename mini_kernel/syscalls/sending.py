"""Sending signals: kill, tkill, tgkill, and those that carry a value (Linux kernel/signal.c)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall
from mini_kernel.task import (
    Process,
    SigInfo,
    Task,
    post,
    send_to_process,
)
from mini_kernel.uapi.capability import CAP_KILL
from mini_kernel.uapi.errno import E2BIG, EAGAIN, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import (
    SYS_kill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_tgkill,
    SYS_tkill,
)
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_SIGPENDING
from mini_kernel.uapi.signal import (
    NSIG,
    POLL_HUP,
    SI_ASYNCNL,
    SI_DETHREAD,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIGBUS,
    SIGCHLD,
    SIGCONT,
    SIGFPE,
    SIGILL,
    SIGRTMIN,
    SIGSEGV,
    SIGSYS,
    SIGTRAP,
)
from mini_kernel.uapi.structs import SIGINFO_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_QUEUED: Final = struct.Struct("<ii4xiIQ")  # of siginfo_t from offset 4: si_errno, si_code, si_pid, si_uid, si_value
_SIGINFO_USED: Final = 48  # of its 128 bytes (Linux struct kernel_siginfo)
#: The highest si_code of signals that have codes of their own (Linux NSIGILL and so on).
_LAST_CODES: Final = {SIGILL: 11, SIGFPE: 15, SIGSEGV: 10, SIGBUS: 5, SIGTRAP: 6, SIGCHLD: 6, SIGSYS: 2}


def check_number(signo: int) -> int:
    """A signal number, 0 to test only. Raises SysError(EINVAL)."""
    number = s32(signo)
    if not 0 <= number <= NSIG:
        raise SysError(EINVAL)
    return number


def _process(k: "Kernel", pid: int) -> Process:
    """The process of this id, or of the thread of this id (Linux find_vpid in kill(2)). Raises SysError(ESRCH)."""
    process = k.processes.get(pid)
    if process is not None:
        return process
    task = k.tasks.get(pid)
    if task is None:
        raise SysError(ESRCH)
    return task.process


def has_room(k: "Kernel", process: Process) -> bool:
    """False if the user of a process has as many signals queued as RLIMIT_SIGPENDING allows."""
    limit = process.rlimits.get(RLIMIT_SIGPENDING, (RLIM_INFINITY,))[0]
    uid, queued = process.uid, 0
    for other in k.processes.values():
        if other.uid == uid:
            queued += len(other.posix_timers) + len(other.pending) + sum(len(t.pending) for t in other.tasks)
    return queued < limit


def _queueable(k: "Kernel", process: Process, info: SigInfo, pending: list[SigInfo]) -> SigInfo | None:
    """What to queue of a real-time signal: at the limit kill(2) still sends one, without saying from whom.

    Raises SysError(EAGAIN) at the limit for what carries a value.
    """
    if info.signo < SIGRTMIN or has_room(k, process):
        return info
    if info.code != SI_USER:
        raise SysError(EAGAIN)
    return None if any(p.signo == info.signo for p in pending) else SigInfo(info.signo)


def require_kill(t: Task, target: Process, signo: int) -> None:
    """SysError(EPERM) unless the caller may send this signal there; SIGCONT may go anywhere in a session (kill(2))."""
    mine, its = t.cred, next((task.cred for task in target.tasks), None)
    if target is t.process or mine.can(CAP_KILL):
        return
    its_uids = (its.ruid, its.suid) if its else (target.last_uid,)
    if mine.euid in its_uids or mine.ruid in its_uids or (signo == SIGCONT and target.sid == t.sid):
        return
    raise SysError(EPERM)


def send(k: "Kernel", process: Process, info: SigInfo) -> None:
    """Post a signal to a process."""
    queued = _queueable(k, process, info, process.pending) if info.signo else None
    if queued is not None:
        send_to_process(process, queued)


def send_thread(k: "Kernel", target: Task, info: SigInfo) -> None:
    """Post a signal to a thread."""
    queued = _queueable(k, target.process, info, target.pending) if info.signo else None
    if queued is not None:
        post(target, queued, target.pending)


@syscall(SYS_kill)
def sys_kill(k: "Kernel", t: Task, pid: int, signo: int) -> int:
    """kill(2): a process, a group, or (-1) all but the caller and process 1."""
    target, number = s32(pid), s32(signo)
    info = SigInfo(number, SI_USER, t.tgid, t.cred.ruid)
    if target > 0:
        found = [_process(k, target)]
    elif target == -1:
        found = [p for p in k.processes.values() if p is not t.process and p.tgid != 1]
    elif target == -(1 << 31):
        raise SysError(ESRCH)
    else:
        found = [p for p in k.processes.values() if p.pgid == (-target or t.pgid)]
    if not found:
        raise SysError(ESRCH)
    check_number(signo)
    return _send_all(k, t, found, info)


def _send_all(k: "Kernel", t: Task, found: list[Process], info: SigInfo) -> int:
    """Send to those that the caller may signal; it has succeeded if there was one."""
    denied = 0
    for process in found:
        try:
            require_kill(t, process, info.signo)
        except SysError:
            denied += 1
        else:
            send(k, process, info)
    if denied == len(found):
        raise SysError(EPERM)
    return 0


def _thread(k: "Kernel", tid: int, tgid: int | None = None) -> Task:
    """A thread, of that process if one is named. Raises SysError EINVAL, ESRCH."""
    if tid <= 0 or (tgid is not None and tgid <= 0):
        raise SysError(EINVAL)
    target = k.tasks.get(tid)
    if target is None or (tgid is not None and target.tgid != tgid):
        raise SysError(ESRCH)
    return target


@syscall(SYS_tgkill)
def sys_tgkill(k: "Kernel", t: Task, tgid: int, tid: int, signo: int) -> int:
    """tgkill(2)."""
    target = _thread(k, s32(tid), s32(tgid))
    require_kill(t, target.process, check_number(signo))
    send_thread(k, target, SigInfo(check_number(signo), SI_TKILL, t.tgid, t.cred.ruid))
    return 0


@syscall(SYS_tkill)
def sys_tkill(k: "Kernel", t: Task, tid: int, signo: int) -> int:
    """tkill(2)."""
    target = _thread(k, s32(tid))
    require_kill(t, target.process, check_number(signo))
    send_thread(k, target, SigInfo(check_number(signo), SI_TKILL, t.tgid, t.cred.ruid))
    return 0


def read_info(t: Task, signo: int, address: int, check: bool = False) -> SigInfo:
    """A siginfo_t that a program made up; what is known of its union arrives as it is.

    Raises SysError EFAULT, E2BIG for a code whose layout nobody knows unless the rest is zero, EINVAL if `check` finds
    another signal in it.
    """
    raw = uaccess.read(t.mm, address, SIGINFO_SIZE)
    errno, code, pid, uid, value = _QUEUED.unpack_from(raw, 4)
    if check and int.from_bytes(raw[:4], "little", signed=True) != s32(signo):
        raise SysError(EINVAL)
    if not _has_layout(s32(signo), code) and any(raw[_SIGINFO_USED:]):
        raise SysError(E2BIG)
    return SigInfo(s32(signo), code, pid, uid, value, fields=raw[16:_SIGINFO_USED], errno=errno)


def _has_layout(signo: int, code: int) -> bool:
    """Linux known_siginfo_layout."""
    if code > SI_USER:
        return code == SI_KERNEL or code <= _LAST_CODES.get(signo, POLL_HUP)
    return code >= SI_DETHREAD or code == SI_ASYNCNL


def _check_forgery(t: Task, info: SigInfo, tgid: int) -> None:
    """Only to itself may a process send what looks like the kernel's or kill(2)'s. Raises SysError(EPERM)."""
    if (info.code >= 0 or info.code == SI_TKILL) and tgid != t.tgid:
        raise SysError(EPERM)


@syscall(SYS_rt_sigqueueinfo)
def sys_rt_sigqueueinfo(k: "Kernel", t: Task, pid: int, signo: int, address: int) -> int:
    """rt_sigqueueinfo(2)."""
    info = read_info(t, signo, address)
    _check_forgery(t, info, s32(pid))
    process = _process(k, s32(pid))
    require_kill(t, process, check_number(signo))
    send(k, process, info)
    return 0


@syscall(SYS_rt_tgsigqueueinfo)
def sys_rt_tgsigqueueinfo(k: "Kernel", t: Task, tgid: int, tid: int, signo: int, address: int) -> int:
    """rt_tgsigqueueinfo(2)."""
    info = read_info(t, signo, address)
    if s32(tid) <= 0 or s32(tgid) <= 0:
        raise SysError(EINVAL)
    _check_forgery(t, info, s32(tgid))
    target = _thread(k, s32(tid), s32(tgid))
    require_kill(t, target.process, check_number(signo))
    send_thread(k, target, info)
    return 0
