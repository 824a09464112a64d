"""Signals: actions, masks, sending, returning from handlers, waiting for them."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel import signal
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import INTERRUPTED, s32, syscall
from mini_kernel.task import (
    UNBLOCKABLE,
    Process,
    SigAction,
    SigInfo,
    Task,
    discard_signals,
    post,
    send_to_process,
)
from mini_kernel.uapi.capability import CAP_KILL
from mini_kernel.uapi.errno import E2BIG, EAGAIN, EINTR, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.numbers import (
    SYS_kill,
    SYS_pause,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigpending,
    SYS_rt_sigprocmask,
    SYS_rt_sigqueueinfo,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_rt_tgsigqueueinfo,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_tkill,
)
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_SIGPENDING
from mini_kernel.uapi.signal import (
    NSIG,
    POLL_HUP,
    SA_EXPOSE_TAGBITS,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESETHAND,
    SA_RESTART,
    SA_RESTORER,
    SA_SIGINFO,
    SI_ASYNCNL,
    SI_DETHREAD,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGBUS,
    SIGCHLD,
    SIGCONT,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGRTMIN,
    SIGSEGV,
    SIGSTOP,
    SIGSYS,
    SIGTRAP,
    SS_AUTODISARM,
)
from mini_kernel.uapi.structs import SIGINFO_SIZE
from mini_kernel.wait import Block, WaitQueue
from mini_kernel.x86 import RAX, RSP

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ACTION: Final = struct.Struct("<4Q")  # handler, flags, restorer, mask
_STACK: Final = struct.Struct("<QiiQ")
_QUEUED: Final = struct.Struct("<ii4xiIQ")  # of siginfo_t from offset 4: si_errno, si_code, si_pid, si_uid, si_value
_SIGINFO_USED: Final = 48  # of its 128 bytes (Linux struct kernel_siginfo)
#: The highest si_code of signals that have codes of their own (Linux NSIGILL and so on).
_LAST_CODES: Final = {SIGILL: 11, SIGFPE: 15, SIGSEGV: 10, SIGBUS: 5, SIGTRAP: 6, SIGCHLD: 6, SIGSYS: 2}
#: What rt_sigaction keeps of sa_flags (Linux UAPI_SA_FLAGS).
_SA_KNOWN: Final = (
    SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_EXPOSE_TAGBITS | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND
    | SA_RESTORER
)  # fmt: skip


@syscall(SYS_rt_sigaction)
def sys_rt_sigaction(k: "Kernel", t: Task, signo: int, new: int, old: int, size: int) -> int:
    """rt_sigaction(2). A signal that is ignored from now on is forgotten if it is pending."""
    number = s32(signo)
    if size != 8:
        raise SysError(EINVAL)
    action = SigAction(*_ACTION.unpack(uaccess.read(t.mm, new, 32))) if new else None
    if not 1 <= number <= NSIG or (new and number in (SIGKILL, SIGSTOP)):
        raise SysError(EINVAL)
    process = t.process
    before = process.action(number)
    if action is not None:
        mask, flags = action.mask & ~UNBLOCKABLE, action.flags & _SA_KNOWN
        process.actions[number] = action._replace(mask=mask, flags=flags)
        if process.ignores(number):
            discard_signals(process, (number,))
        else:
            _unignore(process, number)
    if old:
        uaccess.write(t.mm, old, _ACTION.pack(*before))
    return 0


def _unignore(process: Process, signo: int) -> None:
    for timer in process.posix_timers.values():
        if timer.signo == signo:
            timer.signal_wanted()


@syscall(SYS_rt_sigprocmask)
def sys_rt_sigprocmask(k: "Kernel", t: Task, how: int, new: int, old: int, size: int) -> int:
    """rt_sigprocmask(2)."""
    if size != 8:
        raise SysError(EINVAL)
    before = t.blocked
    if new:
        mask = uaccess.read_u64(t.mm, new)
        how = s32(how)
        if how == SIG_BLOCK:
            mask |= before
        elif how == SIG_UNBLOCK:
            mask = before & ~mask
        elif how != SIG_SETMASK:
            raise SysError(EINVAL)
        signal.set_mask(t, mask)
    if old:
        uaccess.write_u64(t.mm, old, before)
    return 0


@syscall(SYS_rt_sigpending)
def sys_rt_sigpending(k: "Kernel", t: Task, address: int, size: int) -> int:
    """rt_sigpending(2)."""
    if size > 8:
        raise SysError(EINVAL)
    mask = 0
    for info in (*t.pending, *t.process.pending):
        mask |= 1 << info.signo - 1
    uaccess.write(t.mm, address, (mask & t.blocked).to_bytes(8, "little")[:size])
    return 0


@syscall(SYS_rt_sigreturn)
def sys_rt_sigreturn(k: "Kernel", t: Task) -> int:
    """rt_sigreturn(2): the interrupted code goes on, RAX and all."""
    try:
        signal.pop_frame(k.cpu, t)
    except SysError:
        signal.force(t, SigInfo(SIGSEGV, SI_KERNEL))
        return 0
    value = k.cpu.regs[RAX]
    return value - (1 << 64) if value >> 63 else value


@syscall(SYS_sigaltstack)
def sys_sigaltstack(k: "Kernel", t: Task, new: int, old: int) -> int:
    """sigaltstack(2)."""
    rsp = k.cpu.regs[RSP]
    sp, flags, size = t.altstack
    shown = signal.altstack_state(t.altstack, rsp) | flags & SS_AUTODISARM
    if new:
        new_sp, new_flags, _pad, new_size = _STACK.unpack(uaccess.read(t.mm, new, 24))
        signal.set_altstack(t, rsp, new_sp, new_flags & 0xFFFF_FFFF, new_size)
    if old:
        uaccess.write(t.mm, old, struct.pack("<QIiQ", sp, shown, 0, size))
    return 0


# -- sending -----------------------------------------------------------------------------------------


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


# -- waiting -----------------------------------------------------------------------------------------


@syscall(SYS_restart_syscall)
def sys_restart_syscall(k: "Kernel", t: Task) -> int:
    """restart_syscall(2): calls go on by themselves here, so there is never one to go on with."""
    raise SysError(EINTR)


@syscall(SYS_pause)
def sys_pause(k: "Kernel", t: Task) -> int:
    """pause(2)."""
    raise Block(WaitQueue())


@syscall(SYS_rt_sigsuspend)
def sys_rt_sigsuspend(k: "Kernel", t: Task, mask: int, size: int) -> int:
    """rt_sigsuspend(2): the old mask comes back when the handler's frame has been built."""
    if size != 8:
        raise SysError(EINVAL)
    if t.saved_mask is None:
        new = uaccess.read_u64(t.mm, mask)
        t.saved_mask = t.blocked
        signal.set_mask(t, new)
    raise Block(WaitQueue())


@syscall(SYS_rt_sigtimedwait)
def sys_rt_sigtimedwait(k: "Kernel", t: Task, wanted: int, info: int, timeout: int, size: int) -> int:
    """rt_sigtimedwait(2): a signal that is awaited is taken here, blocked or not, and runs no handler."""
    if size != 8:
        raise SysError(EINVAL)
    mask = uaccess.read_u64(t.mm, wanted) & ~UNBLOCKABLE
    if "until" not in t.restart:
        t.restart["until"] = _deadline(k, t, timeout)
    deadline: int | None = t.restart["until"]
    t.awaited = 0
    found = signal.take_awaited(t, mask)
    if found is None:
        if deadline is not None and k.clock.now_ns() >= deadline:
            raise SysError(EAGAIN)
        t.awaited = mask
        raise Block(WaitQueue(), deadline_ns=deadline)
    if info:
        uaccess.write(t.mm, info, signal.pack_info(found))
    return found.signo


def _timedwait_interrupted(k: "Kernel", t: Task, wanted: int, info: int, timeout: int, size: int) -> None:
    t.awaited = 0


INTERRUPTED[SYS_rt_sigtimedwait] = _timedwait_interrupted


def _deadline(k: "Kernel", t: Task, timeout: int) -> int | None:
    if not timeout:
        return None
    seconds, nanoseconds = struct.unpack("<qq", uaccess.read(t.mm, timeout, 16))
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise SysError(EINVAL)
    return k.clock.now_ns() + seconds * 1_000_000_000 + nanoseconds
