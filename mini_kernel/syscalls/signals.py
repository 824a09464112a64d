"""Signals: actions, masks, returning from handlers, waiting for them."""

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
)
from mini_kernel.uapi.errno import EAGAIN, EINTR, EINVAL
from mini_kernel.uapi.numbers import (
    SYS_pause,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigpending,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
)
from mini_kernel.uapi.signal import (
    NSIG,
    SA_EXPOSE_TAGBITS,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESETHAND,
    SA_RESTART,
    SA_RESTORER,
    SA_SIGINFO,
    SI_KERNEL,
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    SS_AUTODISARM,
)
from mini_kernel.wait import Block, WaitQueue
from mini_kernel.x86 import RAX, RSP

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ACTION: Final = struct.Struct("<4Q")  # handler, flags, restorer, mask
_STACK: Final = struct.Struct("<QiiQ")
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
