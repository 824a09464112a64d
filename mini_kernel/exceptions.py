"""What an exception of the CPU means: a fault to be repaired, an instruction to be emulated, or a signal.

Linux: arch/x86/kernel/traps.c, arch/x86/mm/fault.c.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel import signal
from mini_kernel.mm import fault, uaccess
from mini_kernel.report import record_fault
from mini_kernel.task import SigInfo, Task, TrapInfo
from mini_kernel.uapi.signal import (
    BUS_ADRALN,
    FPE_FLTDIV,
    FPE_FLTINV,
    FPE_FLTOVF,
    FPE_FLTRES,
    FPE_FLTUND,
    FPE_INTDIV,
    ILL_ILLOPN,
    SEGV_MAPERR,
    SI_KERNEL,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGSEGV,
    SIGTRAP,
    TRAP_TRACE,
)
from mini_kernel.x86 import (
    PF_PROT,
    RAX,
    RCX,
    RDX,
    RIP,
    TASK_SIZE,
    VEC_AC,
    VEC_BP,
    VEC_DB,
    VEC_DE,
    VEC_GP,
    VEC_MF,
    VEC_NP,
    VEC_PF,
    VEC_SS,
    VEC_UD,
    VEC_XM,
)

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_RDTSCP_LENGTH: Final = 3

#: vector -> (signal, si_code, si_addr is RIP), as Linux's traps.c sends them.
_TRAP_SIGNALS: Final = {
    VEC_DE: (SIGFPE, FPE_INTDIV, True),
    VEC_DB: (SIGTRAP, TRAP_TRACE, True),
    VEC_BP: (SIGTRAP, SI_KERNEL, False),
    VEC_UD: (SIGILL, ILL_ILLOPN, True),
    VEC_NP: (SIGBUS, SI_KERNEL, False),
    VEC_SS: (SIGBUS, SI_KERNEL, False),
    VEC_GP: (SIGSEGV, SI_KERNEL, False),
    VEC_MF: (SIGFPE, FPE_FLTINV, True),
    VEC_AC: (SIGBUS, BUS_ADRALN, False),
    VEC_XM: (SIGFPE, FPE_FLTINV, True),
}
IA32_SYSCALL: Final = 0x80
#: Floating-point exception flags (SDM vol. 1 8.1.3.3, 10.2.3) -> si_code, in the order Linux fpu__exception_code looks.
_FLOAT_CODES: Final = ((1, FPE_FLTINV), (4, FPE_FLTDIV), (8, FPE_FLTOVF), (0x12, FPE_FLTUND), (0x20, FPE_FLTRES))


def _float_code(image: bytes, vector: int) -> int:
    """si_code of an x87 or SSE exception: which of the unmasked ones is pending, from the FXSAVE image."""
    if vector == VEC_MF:
        control, status = int.from_bytes(image[:2], "little"), int.from_bytes(image[2:4], "little")
    else:
        status = int.from_bytes(image[24:28], "little")
        control = status >> 7
    pending = status & ~control & 0x3F
    return next((code for bits, code in _FLOAT_CODES if pending & bits), FPE_FLTINV)


class Exceptions:
    """One kernel's answers to exceptions. `trap.Traps` decides who runs then."""

    def __init__(self, k: "Kernel") -> None:
        self.k = k

    def foresee(self, task: Task, vector: int) -> SigInfo | None:
        """The signal an exception other than a page fault would send; None if it is emulated."""
        if vector == IA32_SYSCALL or (vector in (VEC_GP, VEC_UD) and self._timestamp_length(task)):
            return None
        return self._trap_signal(vector)

    def _trap_signal(self, vector: int) -> SigInfo:
        """What an exception other than a page fault sends."""
        cpu = self.k.cpu
        signo, code, at_rip = _TRAP_SIGNALS.get(vector, (SIGSEGV, SI_KERNEL, False))
        if vector in (VEC_MF, VEC_XM):
            code = _float_code(cpu.fxsave(), vector)
        return SigInfo(signo, code, address=cpu.regs[RIP] if at_rip else 0)

    def _page_fault(self, task: Task, error: int, cr2: int) -> None:
        """Repair the access, or send the signal that says why not."""
        try:
            if cr2 >= TASK_SIZE:
                error |= PF_PROT  # whatever the tables say there, as Linux shows it
                raise fault.BadAccess(SIGSEGV, SEGV_MAPERR, "unmapped", "the address is not the user's")
            kind = fault.handle(task.mm, cr2, error)
        except fault.BadAccess as bad:
            kind = bad.fault_class
            task.process.ledger.faults[kind] += 1
            if kind == "oom":
                self.k.oom.make_room()  # then the access is made again, unless its own process has to die
            else:
                self._fault_signal(task, SigInfo(bad.signal, bad.code, address=cr2), VEC_PF, error, cr2, bad.reason)
        else:
            task.process.ledger.faults[kind] += 1
        if self.k.observer:
            self.k.observer.fault(task, cr2, error, kind)

    def _fault_signal(self, task: Task, info: SigInfo, vector: int, error: int, cr2: int, reason: str) -> None:
        """Force the signal of an exception; if it will kill, keep a record for the fault report."""
        k = self.k
        task.last_trap = TrapInfo(vector, error, cr2)
        handled = signal.is_handled(task, info.signo) and not task.blocked & 1 << info.signo - 1
        if not handled:
            k.keep(record_fault(k, task, info, vector, error, reason))
        if info.signo == SIGKILL:
            task.send_signal(SIGKILL, SI_KERNEL)
        else:
            signal.force(task, info)

    def _emulated(self, task: Task) -> bool:
        """rdtsc (#GP by CR4.TSD) and rdtscp (#UD in this CPU model) read the virtual clock."""
        regs = self.k.cpu.regs
        length = self._timestamp_length(task)
        if not length:
            return False
        if length == _RDTSCP_LENGTH:
            regs[RCX] = 0  # TSC_AUX: CPU 0
        tsc = self.k.clock.tsc()
        regs[RAX], regs[RDX] = tsc & 0xFFFF_FFFF, tsc >> 32
        regs[RIP] += length
        return True

    def _timestamp_length(self, task: Task) -> int:
        """Bytes of the rdtsc or rdtscp at RIP, 0 if it is neither."""
        code = uaccess.probe(task.mm, self.k.cpu.regs[RIP], _RDTSCP_LENGTH)
        if code[:2] == b"\x0f\x31":
            return 2
        return _RDTSCP_LENGTH if code == b"\x0f\x01\xf9" else 0
