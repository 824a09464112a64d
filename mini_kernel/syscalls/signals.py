"""Signals: actions, masks, sending, returning from handlers, waiting for them."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel import signal
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, syscall
from mini_kernel.task import Process, SigAction, SigInfo, Task, post, send_to_process
from mini_kernel.uapi.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH
from mini_kernel.uapi.numbers import (
    SYS_kill,
    SYS_pause,
    SYS_rt_sigaction,
    SYS_rt_sigpending,
    SYS_rt_sigprocmask,
    SYS_rt_sigqueueinfo,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_tkill,
)
from mini_kernel.uapi.signal import (
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
)
from mini_kernel.wait import Block, WaitQueue
from mini_kernel.x86 import RAX, RSP

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ACTION: Final = struct.Struct("<4Q")  # handler, flags, restorer, mask
_STACK: Final = struct.Struct("<QiiQ")
_NSIG: Final = 64


@syscall(SYS_rt_sigaction)
def sys_rt_sigaction(k: "Kernel", t: Task, signo: int, new: int, old: int, size: int) -> int:
    """rt_sigaction(2)."""
    number = s32(signo)
    if size != 8 or not 1 <= number <= _NSIG or (new and number in (SIGKILL, SIGSTOP)):
        raise SysError(EINVAL)
    process = t.process
    before = process.action(number)
    action = SigAction(*_ACTION.unpack(uaccess.read(t.mm, new, 32))) if new else None
    if old:
        uaccess.write(t.mm, old, _ACTION.pack(*before))
    if action is not None:
        process.actions[number] = action
        if process.ignores(number):
            for pending in (process.pending, t.pending):
                pending[:] = [p for p in pending if p.signo != number]
    return 0


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
    sp, flags, size = t.altstack
    active = not flags & SS_AUTODISARM and sp < k.cpu.regs[RSP] <= sp + size
    request = _STACK.unpack(uaccess.read(t.mm, new, 24)) if new else None
    if request is not None:
        if active:
            raise SysError(EPERM)
        new_sp, new_flags, _pad, new_size = request
        mode = new_flags & 0xFFFF_FFFF & ~SS_AUTODISARM
        if mode not in (0, SS_ONSTACK, SS_DISABLE):
            raise SysError(EINVAL)
        if mode == SS_DISABLE:
            new_sp = new_size = 0
        elif new_size < signal.MINSIGSTKSZ:
            raise SysError(ENOMEM)
        t.altstack = (new_sp, new_flags & 0xFFFF_FFFF & ~SS_ONSTACK, new_size)
    if old:
        shown = flags | SS_ONSTACK if active else flags
        uaccess.write(t.mm, old, struct.pack("<QIiQ", sp, shown, 0, size))
    return 0


# -- sending -----------------------------------------------------------------------------------------


def _check_signal(signo: int) -> int:
    number = s32(signo)
    if not 0 <= number <= _NSIG:
        raise SysError(EINVAL)
    return number


@syscall(SYS_kill)
def sys_kill(k: "Kernel", t: Task, pid: int, signo: int) -> int:
    """kill(2): a process, a group, or (-1) all but the caller."""
    number, target = _check_signal(signo), s32(pid)
    if target > 0:
        found = [k.processes[target]] if target in k.processes else []
    elif target == -1:
        found = [p for p in k.processes.values() if p is not t.process]
    else:
        found = [p for p in k.processes.values() if p.pgid == (-target or t.pgid)]
    if not found:
        raise SysError(ESRCH)
    for process in found:
        _send(t, process, number)
    return 0


def _send(t: Task, process: Process, number: int, code: int = SI_USER, value: int = 0) -> None:
    if number:
        send_to_process(process, SigInfo(number, code, t.tgid, t.fs.uid, value))


@syscall(SYS_tgkill)
def sys_tgkill(k: "Kernel", t: Task, tgid: int, tid: int, signo: int) -> int:
    """tgkill(2)."""
    if s32(tgid) <= 0:
        raise SysError(EINVAL)
    return _thread_kill(k, t, s32(tid), signo, s32(tgid))


@syscall(SYS_tkill)
def sys_tkill(k: "Kernel", t: Task, tid: int, signo: int) -> int:
    """tkill(2)."""
    return _thread_kill(k, t, s32(tid), signo, None)


def _thread_kill(k: "Kernel", t: Task, tid: int, signo: int, tgid: int | None) -> int:
    number = _check_signal(signo)
    if tid <= 0:
        raise SysError(EINVAL)
    target = k.tasks.get(tid)
    if target is None or (tgid is not None and target.tgid != tgid):
        raise SysError(ESRCH)
    if number:
        post(target, SigInfo(number, SI_TKILL, t.tgid, t.fs.uid), target.pending)
    return 0


@syscall(SYS_rt_sigqueueinfo)
def sys_rt_sigqueueinfo(k: "Kernel", t: Task, pid: int, signo: int, info: int) -> int:
    """rt_sigqueueinfo(2)."""
    number = _check_signal(signo)
    raw = uaccess.read(t.mm, info, 128)
    (code,) = struct.unpack_from("<i", raw, 8)
    (value,) = struct.unpack_from("<Q", raw, 24)
    if code >= 0 or code == SI_TKILL:
        raise SysError(EPERM)
    process = k.processes.get(s32(pid))
    if process is None:
        raise SysError(ESRCH)
    _send(t, process, number, code, value)
    return 0


# -- waiting -----------------------------------------------------------------------------------------


@syscall(SYS_pause)
def sys_pause(k: "Kernel", t: Task) -> int:
    """pause(2)."""
    raise Block(WaitQueue())


@syscall(SYS_rt_sigsuspend)
def sys_rt_sigsuspend(k: "Kernel", t: Task, mask: int, size: int) -> int:
    """rt_sigsuspend(2): the old mask comes back when the handler's frame has been built."""
    if size != 8:
        raise SysError(EINVAL)
    if "waits" not in t.restart:
        new = uaccess.read_u64(t.mm, mask)
        t.restart["waits"] = True
        t.saved_mask = t.blocked
        signal.set_mask(t, new)
    raise Block(WaitQueue())


@syscall(SYS_rt_sigtimedwait)
def sys_rt_sigtimedwait(k: "Kernel", t: Task, wanted: int, info: int, timeout: int, size: int) -> int:
    """rt_sigtimedwait(2)."""
    if size != 8:
        raise SysError(EINVAL)
    mask = uaccess.read_u64(t.mm, wanted)
    if "until" not in t.restart:
        t.restart["until"] = _deadline(k, t, timeout)
    found = _take_wanted(t, mask)
    if found is None:
        deadline: int | None = t.restart["until"]
        if deadline is not None and k.clock.now_ns() >= deadline:
            t.blocked |= t.restart.get("unblocked", 0)
            raise SysError(EAGAIN)
        t.restart.setdefault("unblocked", t.blocked & mask)
        t.blocked &= ~mask  # so that the signal wakes us; taken here before it is delivered
        raise Block(WaitQueue(), deadline_ns=deadline)
    t.blocked |= t.restart.get("unblocked", 0)
    if info:
        try:
            uaccess.write(t.mm, info, signal.pack_info(found))
        except SysError:
            raise SysError(EFAULT) from None
    return found.signo


def _deadline(k: "Kernel", t: Task, timeout: int) -> int | None:
    if not timeout:
        return None
    seconds, nanoseconds = struct.unpack("<qq", uaccess.read(t.mm, timeout, 16))
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise SysError(EINVAL)
    return k.clock.now_ns() + seconds * 1_000_000_000 + nanoseconds


def _take_wanted(t: Task, mask: int) -> SigInfo | None:
    for pending in (t.pending, t.process.pending):
        for info in pending:
            if mask >> info.signo - 1 & 1:
                pending.remove(info)
                return info
    return None
