"""Signal delivery: the default actions, and the frame that runs a handler (Linux arch/x86/kernel/signal_64.c).

The frame on the user's stack is struct rt_sigframe: return address, ucontext, siginfo; behind it, 64-byte aligned,
the FXSAVE image. rt_sigreturn(2) reads all of it back, so a handler can repair any register, RIP included.
"""

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.task import (
    IGNORED_BY_DEFAULT,
    STOPS_BY_DEFAULT,
    UNBLOCKABLE,
    Process,
    SigAction,
    SigInfo,
    Task,
    alert_one,
    bit,
)
from mini_kernel.uapi import structs
from mini_kernel.uapi.errno import EFAULT, EINVAL, ENOMEM, EPERM
from mini_kernel.uapi.signal import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESETHAND,
    SA_RESTORER,
    SI_KERNEL,
    SI_TKILL,
    SIG_DFL,
    SIG_IGN,
    SIGALRM,
    SIGBUS,
    SIGCHLD,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGSEGV,
    SIGSYS,
    SIGTRAP,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
)
from mini_kernel.x86 import (
    FLAG_DF,
    FLAG_FIXED,
    FLAG_IF,
    FLAG_RF,
    FLAG_TF,
    FLAGS_USER,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
    TASK_SIZE,
    U64,
    USER_CS,
    USER_DS,
)

if TYPE_CHECKING:
    from mini_kernel.hw import Cpu

FAULT_SIGNALS: Final = frozenset((SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS))  # Linux SYNCHRONOUS_MASK
CORE_SIGNALS: Final = frozenset((3, 4, 5, 6, 7, 8, 11, 24, 25, 31))  # default action "Core" in signal(7)

# struct sigcontext: general registers in this order, flags, selectors, error, trap, mask, CR2, FPU pointer.
_SIGCONTEXT: Final = struct.Struct("<16Q 2Q 4H 4Q Q 64x")
_SIGCONTEXT_REGS: Final = (R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP)
_UC_HEAD: Final = struct.Struct("<QQ QiiQ")  # uc_flags, uc_link, ss_sp, ss_flags, pad, ss_size
_UC_FLAGS: Final = 0x6  # UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
_FRAME_SIZE: Final = 8 + _UC_HEAD.size + _SIGCONTEXT.size + 8 + 128
_FPU_SIZE: Final = 512
_MXCSR_BITS: Final = 0xFFFF  # others are reserved (SDM vol. 1 10.2.3)
_RED_ZONE: Final = 128  # below RSP, belongs to the interrupted function (psABI 3.2.2)
MINSIGSTKSZ: Final = 2048
SIGINFO_SIZE: Final = 128


def take(task: Task) -> SigInfo | None:
    """Remove and return the next signal to deliver, None if all that are pending are blocked."""
    info = due(task)
    if info is None or info.signo == SIGKILL:
        return info
    return dequeue(task.process, task.pending if _holds(task.pending, info) else task.process.pending, info)


def due(task: Task) -> SigInfo | None:
    """The next signal to deliver.

    SIGKILL comes first, then what the thread's own faults sent, then signals of faults however sent, then low numbers;
    the thread's before the process's, equal numbers in the order they came (Linux get_signal, next_signal).
    """
    if is_killed(task):
        return SigInfo(SIGKILL)
    for pending in (task.pending, task.process.pending):
        if pending:
            ready = [i for i in pending if not task.blocked & bit(i.signo)]
            if ready:
                return min(ready, key=_urgency)
    return None


def _holds(pending: list[SigInfo], info: SigInfo) -> bool:
    return any(other is info for other in pending)


def _urgency(info: SigInfo) -> tuple[bool, bool, bool, int]:
    fault = info.signo in FAULT_SIGNALS
    return not info.told, not (fault and info.code > 0), not fault, info.signo


def take_awaited(task: Task, mask: int) -> SigInfo | None:
    """Remove and return the first pending signal in `mask`, blocked or not: for sigwaitinfo(2) and signalfd(2)."""
    for pending in (task.pending, task.process.pending):
        ready = [i for i in pending if mask & bit(i.signo)]
        if ready:
            return dequeue(task.process, pending, min(ready, key=_urgency))
    return None


def dequeue(process: Process, pending: list[SigInfo], info: SigInfo) -> SigInfo:
    """Take this very signal off the queue, and let the timer that sent it go on. What is known of it now."""
    for i, other in enumerate(pending):
        if other is info:
            del pending[i]
            break
    if info.signo == SIGALRM:
        process.itimer_real.go_on()
    return info if info.source is None else info.source.signal_taken(info)


def set_mask(task: Task, mask: int) -> None:
    """Change the signal mask; what it lets through is looked at before user code runs again."""
    before, task.blocked = task.blocked, mask & ~UNBLOCKABLE
    if task.deliverable():
        task.attention = True
    if task.process.pending and task.blocked & ~before:
        pass_on(task, task.blocked & ~before)


def pass_on(task: Task, mask: int) -> None:
    """The task will not take these signals of its process: other threads may (Linux retarget_shared_pending)."""
    if len(task.process.tasks) > 1:
        for signo in {i.signo: None for i in task.process.pending if mask & bit(i.signo)}:
            alert_one(task.process, signo)


def default_action(signo: int) -> str:
    """What SIG_DFL means: "ignore", "stop", "core" or "terminate" (signal(7))."""
    if signo in IGNORED_BY_DEFAULT:
        return "ignore"
    if signo in STOPS_BY_DEFAULT:
        return "stop"
    return "core" if signo in CORE_SIGNALS else "terminate"


def force(task: Task, info: SigInfo) -> None:
    """Post a signal that cannot be escaped: blocked or ignored becomes deadly (Linux force_sig_info)."""
    process = task.process
    if task.blocked & bit(info.signo) or process.action(info.signo).handler == SIG_IGN:
        process.actions.pop(info.signo, None)
        task.blocked &= ~bit(info.signo)
    task.pending.append(info)
    task.attention = True


def pack_info(info: SigInfo) -> bytes:
    """The 128 bytes of siginfo_t."""
    if info.fields:
        fields = info.fields
    elif info.signo in FAULT_SIGNALS and 0 < info.code < SI_KERNEL:
        fields = structs.siginfo_fault(info.address)
    elif info.signo == SIGCHLD and info.code > 0:
        fields = structs.siginfo_child(info.pid, info.uid, info.value)
    elif info.code == SI_KERNEL:
        fields = b""
    else:
        fields = structs.siginfo_kill(info.pid, info.uid, info.value if info.code < 0 and info.code != SI_TKILL else 0)
    return structs.pack_siginfo(info.signo, info.code, fields, info.errno)


def unpack_info(data: bytes) -> SigInfo:
    """The signal that 128 bytes of siginfo_t describe. Raises ValueError for another size."""
    if len(data) != SIGINFO_SIZE:
        raise ValueError(f"{len(data)} bytes are no siginfo_t")
    signo, errno, code = struct.unpack_from("<iii", data)
    return SigInfo(signo, code, fields=data[16:], errno=errno)


# -- the frame ---------------------------------------------------------------------------------------


def push_frame(cpu: "Cpu", task: Task, action: SigAction, info: SigInfo) -> None:
    """Make the task run its handler for `info` next. Raises SysError(EFAULT) if the stack cannot take the frame."""
    regs, trap = cpu.regs, task.last_trap
    rsp = regs[RSP]
    stack = _choose_stack(task, action, rsp)
    fpu = stack - _FPU_SIZE & -64
    frame = (fpu - _FRAME_SIZE & -16) - 8
    if not action.flags & SA_RESTORER or not 0 < frame < TASK_SIZE:
        raise SysError(EFAULT)
    mask = task.blocked if task.saved_mask is None else task.saved_mask
    sp, ss_flags, size = task.altstack
    image = (
        struct.pack("<Q", action.restorer)
        + _UC_HEAD.pack(_UC_FLAGS, 0, sp, _signed(ss_flags), 0, size)
        + _SIGCONTEXT.pack(
            *(regs[r] for r in _SIGCONTEXT_REGS), regs[RIP], cpu.rflags, USER_CS, 0, 0, USER_DS,
            trap.error, trap.vector, mask & 0xFFFF_FFFF_FFFF_FFFF, trap.cr2, fpu,
        )
        + struct.pack("<Q", mask)
        + pack_info(info)
    )  # fmt: skip
    uaccess.write(task.mm, fpu, cpu.fxsave())
    uaccess.write(task.mm, frame, image)
    _enter_handler(cpu, task, action, info.signo, frame)


def _choose_stack(task: Task, action: SigAction, rsp: int) -> int:
    sp, _flags, size = task.altstack
    if action.flags & SA_ONSTACK and not altstack_state(task.altstack, rsp):
        return sp + size
    return rsp - _RED_ZONE


def _on_altstack(altstack: tuple[int, int, int], rsp: int) -> bool:
    sp, flags, size = altstack
    return not flags & SS_AUTODISARM and sp < rsp <= sp + size


def altstack_state(altstack: tuple[int, int, int], rsp: int) -> int:
    """SS_DISABLE if there is no alternate stack, SS_ONSTACK while it is in use, else 0 (Linux sas_ss_flags)."""
    if not altstack[2]:
        return SS_DISABLE
    return SS_ONSTACK if _on_altstack(altstack, rsp) else 0


def set_altstack(task: Task, rsp: int, sp: int, flags: int, size: int) -> None:
    """Change the alternate stack. Raises SysError EPERM while it is in use, EINVAL, ENOMEM if it is too small."""
    if _on_altstack(task.altstack, rsp):
        raise SysError(EPERM)
    mode = flags & ~SS_AUTODISARM
    if mode not in (0, SS_ONSTACK, SS_DISABLE):
        raise SysError(EINVAL)
    if task.altstack == (sp, flags, size):
        return
    if mode == SS_DISABLE:
        sp = size = 0
    elif size < MINSIGSTKSZ:
        raise SysError(ENOMEM)
    task.altstack = (sp, flags, size)


def _enter_handler(cpu: "Cpu", task: Task, action: SigAction, signo: int, frame: int) -> None:
    regs = cpu.regs
    regs[RSP] = frame
    regs[RIP] = action.handler
    regs[RDI] = signo
    regs[RSI] = frame + _FRAME_SIZE - 128
    regs[RDX] = frame + 8
    regs[RAX] = 0
    cpu.rflags &= ~(FLAG_DF | FLAG_RF | FLAG_TF)
    task.saved_mask = None
    set_mask(task, task.blocked | action.mask | (0 if action.flags & SA_NODEFER else bit(signo)))
    if action.flags & SA_RESETHAND:
        task.process.actions[signo] = action._replace(handler=SIG_DFL)
    if task.altstack[1] & SS_AUTODISARM:
        task.altstack = (0, SS_DISABLE, 0)


def pop_frame(cpu: "Cpu", task: Task) -> None:
    """rt_sigreturn(2): take everything back from the frame at RSP - 8, which may hold anything.

    Raises SysError(EFAULT) with the registers as they were, or half changed if only then something turns out bad.
    """
    frame = cpu.regs[RSP] - 8 & U64
    raw = uaccess.read(task.mm, frame + 8 & U64, _FRAME_SIZE - 8 - 128)
    _flags, _link, sp, ss_flags, _pad, size = _UC_HEAD.unpack_from(raw)
    context = _SIGCONTEXT.unpack_from(raw, _UC_HEAD.size)
    (mask,) = struct.unpack_from("<Q", raw, _UC_HEAD.size + _SIGCONTEXT.size)
    set_mask(task, mask)
    rip, cs, ss, fpu = context[16], context[18], context[21], context[26]
    if cs | 3 != USER_CS or ss | 3 != USER_DS or rip >= TASK_SIZE:
        raise SysError(EFAULT)
    image = _read_fpu(task, fpu) if fpu else None
    for register, value in zip(_SIGCONTEXT_REGS, context, strict=False):
        cpu.regs[register] = value
    cpu.regs[RIP] = rip
    cpu.rflags = context[17] & FLAGS_USER | FLAG_FIXED | FLAG_IF
    if image is not None:
        cpu.fxrstor(image)
    with suppress(SysError):
        set_altstack(task, cpu.regs[RSP], sp, ss_flags & 0xFFFF_FFFF, size)


def _read_fpu(task: Task, address: int) -> bytes:
    """The FXSAVE image of a frame. Raises SysError(EFAULT) for one that the hardware instruction would refuse."""
    image = uaccess.read(task.mm, address, _FPU_SIZE)
    if address & 15 or int.from_bytes(image[24:28], "little") & ~_MXCSR_BITS:
        raise SysError(EFAULT)
    return image


def _signed(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value & 0x8000_0000 else value


def is_killed(task: Task) -> bool:
    """True if SIGKILL waits for the task."""
    return any(i.signo == SIGKILL for p in (task.pending, task.process.pending) for i in p)


def is_handled(task: Task, signo: int) -> bool:
    """True if the process has a handler of its own for the signal."""
    return task.process.action(signo).handler not in (SIG_DFL, SIG_IGN)
