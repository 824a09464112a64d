"""Entries from user mode: system calls, exceptions, the clock tick, and the way back.

The one place where SysError becomes -errno and an exception becomes a signal (Linux entry_64.S, traps.c, fault.c).
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from mini_kernel import cputime, jobs, process, signal
from mini_kernel.errors import SysError
from mini_kernel.mm import fault, uaccess
from mini_kernel.report import record_fault
from mini_kernel.steer import give_up_cpu
from mini_kernel.syscalls.table import TABLE
from mini_kernel.task import Interrupted, SigInfo, State, Task, TrapInfo
from mini_kernel.uapi.errno import ENOSYS
from mini_kernel.uapi.numbers import (
    SYS_clock_nanosleep,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_epoll_wait,
    SYS_io_getevents,
    SYS_io_pgetevents,
    SYS_msgrcv,
    SYS_msgsnd,
    SYS_nanosleep,
    SYS_pause,
    SYS_poll,
    SYS_ppoll,
    SYS_pselect6,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_select,
    SYS_semop,
    SYS_semtimedop,
)
from mini_kernel.uapi.resource import RLIMIT_CPU
from mini_kernel.uapi.signal import (
    BUS_ADRALN,
    FPE_FLTDIV,
    FPE_FLTINV,
    FPE_FLTOVF,
    FPE_FLTRES,
    FPE_FLTUND,
    FPE_INTDIV,
    ILL_ILLOPN,
    SA_RESTART,
    SEGV_MAPERR,
    SI_KERNEL,
    SIG_DFL,
    SIG_IGN,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    SIGTRAP,
    TRAP_TRACE,
)
from mini_kernel.wait import Block
from mini_kernel.x86 import (
    PF_PROT,
    R8,
    R9,
    R10,
    RAX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    TASK_SIZE,
    U64,
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

_REGISTERS: Final = (RDI, RSI, RDX, R10, R8, R9)
_RDTSCP_LENGTH: Final = 3
_NO_ARGUMENTS: Final[tuple[int, ...]] = ()


def _one(regs: Any) -> tuple[int, ...]:
    return (regs[RDI],)


def _none(_regs: Any) -> tuple[int, ...]:
    return _NO_ARGUMENTS


def _getter(n: int) -> Callable[[Any], tuple[int, ...]]:
    return cast(Callable[[Any], tuple[int, ...]], itemgetter(*_REGISTERS[:n]))


#: By arity: reads that many argument registers in one call.
ARGUMENTS: Final[tuple[Callable[[Any], tuple[int, ...]], ...]] = (
    _none,
    _one,
    *map(_getter, range(2, 7)),
)

#: Calls that a handler always interrupts, SA_RESTART or not (signal(7)); as it does any wait with a deadline.
NEVER_RESTARTED: Final = frozenset((
    SYS_nanosleep, SYS_clock_nanosleep, SYS_pause, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_semop, SYS_semtimedop, SYS_msgsnd,
    SYS_msgrcv, SYS_io_getevents, SYS_io_pgetevents,
))  # fmt: skip

#: Calls that fail with EINTR once a stopped process goes on, without a handler having run (signal(7)).
ENDED_BY_STOP: Final = frozenset((
    SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_semop, SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents,
))  # fmt: skip

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


_RUNNABLE, _DEAD = State.RUNNABLE, State.DEAD  # a look-up in an Enum class costs more than a whole test


class Traps:
    """The trap handler of one kernel (hw.TrapHandler)."""

    def __init__(self, k: "Kernel") -> None:
        self.k = k

    # -- system calls -------------------------------------------------------------------------------

    def syscall(self) -> None:
        """`syscall` from user mode."""
        k = self.k
        sched = k.sched
        task = sched.current
        assert task is not None
        regs = k.cpu.regs
        number = regs[RAX]
        task.process.ledger.syscalls[number] += 1
        entry = TABLE.get(number)
        if entry is None:
            self._unknown(task, number)
        else:
            handler, arity = entry
            arguments = ARGUMENTS[arity](regs) if arity else _NO_ARGUMENTS
            try:
                if k.observer:
                    k.observer.syscall_enter(task, number, arguments)
                result = handler(k, task, *arguments)
            except SysError as error:
                result = -error.errno
            except Block as block:
                self._wait(task, block, number, arguments)
                return
            if k.observer or task.restart or task.state is not _RUNNABLE:
                self._return(task, number, arguments, result)
            else:  # the same, for most
                regs[RAX] = result & U64
        if k.checking:
            k.check()
        if task.attention or sched.current is not task:
            self.dispatch()

    def _unknown(self, task: Task, number: int) -> None:
        """No such call: -ENOSYS, counted and named in the ledger."""
        task.ledger.unknown[number] += 1
        arguments: tuple[int, ...] = ARGUMENTS[6](self.k.cpu.regs)
        result = -ENOSYS
        try:
            if self.k.observer:
                self.k.observer.syscall_enter(task, number, arguments)
        except SysError as error:
            result = -error.errno
        self._return(task, number, arguments, result)

    def _return(self, task: Task, number: int, arguments: tuple[int, ...], result: int) -> None:
        """Hand the result over, unless the caller is gone."""
        if task.state is _DEAD:
            return
        self.k.cpu.regs[RAX] = result & U64
        if task.restart:
            task.restart.clear()
        if self.k.observer:
            self.k.observer.syscall_exit(task, number, arguments, result)

    def _wait(self, task: Task, block: Block, number: int, arguments: tuple[int, ...]) -> None:
        """The call cannot finish now: sleep, unless a signal is there to interrupt it."""
        k = self.k
        if not self._interrupts(task, block, number, arguments):
            if k.observer and task.call is None:
                k.observer.syscall_wait(task, number)
            k.sched.park(task, block, number, arguments)
        if k.checking:
            k.check()
        self.dispatch()

    def _interrupts(self, task: Task, block: Block, number: int, arguments: tuple[int, ...]) -> bool:
        """True if a signal keeps the task from waiting: the call is put aside until the signal has been looked at."""
        if not (task.deliverable() if block.interruptible else signal.is_killed(task)):
            return False
        restartable = block.deadline_ns is None and number not in NEVER_RESTARTED
        task.interrupted = Interrupted(number, arguments, restartable)
        task.attention = True
        return True

    def _retry(self, task: Task) -> bool:
        """Issue a call again after its wait; False if it waits on or the task is gone."""
        assert task.call is not None
        number, arguments = task.call
        k = self.k
        try:
            result = TABLE[number].handler(k, task, *arguments)
        except SysError as error:
            result = -error.errno
        except Block as block:
            if self._interrupts(task, block, number, arguments):
                task.call = None
                return True
            k.sched.park(task, block, number, arguments)
            return False
        task.call = None
        self._return(task, number, arguments, result)
        return task.state is _RUNNABLE

    # -- choosing who goes on -----------------------------------------------------------------------

    def dispatch(self) -> None:
        """Bring some task to the point where it can return to user mode, or stop the machine."""
        k = self.k
        sched = k.sched
        while True:
            task = sched.pick()
            if task is None:
                if self._idle():
                    continue
                return
            sched.switch_to(task)
            if task.call is not None and not signal.is_killed(task) and not self._retry(task):
                continue
            if sched.current is not task:  # it finished its call and was preempted then
                continue
            if task.attention and self._attend(task):
                continue
            return

    def _idle(self) -> bool:
        """Nobody can run: go to the next deadline. False: leave user mode, for nothing will happen.

        Time is skipped, but where keys may be pressed it passes, in the world's time.
        """
        k = self.k
        deadline = k.sched.timers.next_deadline()
        terminal = k.vfs.terminal
        if terminal is not None and terminal.live() and k.exit_status is None:
            try:
                terminal.idle(deadline)
            except SysError:  # interrupted: the machine stops, and dispatch is called again if it goes on
                return False
        elif deadline is None:
            k.finish()
            return False
        else:
            k.clock.advance_to(deadline)
        k.sched.timers.fire()
        return True

    def tick(self) -> None:
        """The time slice is over: the next in the queue runs."""
        k = self.k
        k.sched.timers.fire()
        terminal = k.vfs.terminal
        if terminal is not None:
            terminal.pump()
        task = k.sched.current
        if task is not None and (task.process.cpu_timers or RLIMIT_CPU in task.process.rlimits):
            k.sched.credit()
            cputime.check(task.process)
        if k.plan.schedule is not None:
            k.cpu.slice_left = k.plan.schedule.slice()
        give_up_cpu(k)
        if k.checking:
            k.check()
        self.dispatch()

    # -- signals ------------------------------------------------------------------------------------

    def _attend(self, task: Task) -> bool:
        """Deliver every signal that is due. False: a debugger stands before one."""
        task.attention = False
        gate = self.k.gate
        while task.state is _RUNNABLE:
            if gate is not None and (due := signal.due(task)) is not None and gate.holds(task, due):
                task.attention = True
                return False
            info = signal.take(task)
            if info is None:
                break
            self._deliver(task, info)
        if task.state is not _RUNNABLE:
            return True
        if task.saved_mask is not None:
            mask, task.saved_mask = task.saved_mask, None
            signal.set_mask(task, mask)
        if task.interrupted is not None and task.interrupted.ended:
            self._cut_short(task, False)
        elif task.interrupted is not None:
            task.call, task.interrupted = task.interrupted[:2], None
        return True

    def _deliver(self, task: Task, info: SigInfo) -> None:
        k = self.k
        action = task.process.action(info.signo)
        if info.signo == SIGKILL:
            action = signal.SigAction()
        if action.handler == SIG_IGN or (action.handler == SIG_DFL and signal.default_action(info.signo) == "ignore"):
            return
        task.ledger.signals[info.signo] += 1
        if k.observer:
            k.observer.signal(task, info)
        if action.handler == SIG_DFL:
            self._default(task, info.signo)
            return
        self._cut_short(task, bool(action.flags & SA_RESTART))
        try:
            signal.push_frame(k.cpu, task, action, info)
        except SysError:
            if info.signo == SIGSEGV:
                task.process.actions.pop(SIGSEGV, None)
            signal.force(task, SigInfo(SIGSEGV, SI_KERNEL))

    def _default(self, task: Task, signo: int) -> None:
        """Stop or end the process. Job control does not stop a process whose group nobody could continue."""
        if signal.default_action(signo) != "stop":
            process.exit_group(self.k, task.process, signo)
        elif signo == SIGSTOP or not jobs.is_orphaned(self.k, task.pgid):
            jobs.stop_process(self.k, task.process, signo)
            if task.interrupted is not None and task.interrupted.number in ENDED_BY_STOP:
                task.interrupted = task.interrupted._replace(ended=True)

    def _cut_short(self, task: Task, restart: bool) -> None:
        """A handler runs in the middle of a call: the call fails with EINTR, or begins again afterwards."""
        if task.interrupted is None:
            return
        (number, arguments, restartable, _ended), task.interrupted = task.interrupted, None
        regs = self.k.cpu.regs
        done = task.restart.get("done", 0)
        if done:
            self._return(task, number, arguments, done)
        elif "again" in task.restart or (restart and restartable):
            regs[RAX] = number
            regs[RIP] -= 2
            task.restart.clear()
        else:
            self._return(task, number, arguments, -self.k.interrupted(task, number, arguments))

    # -- exceptions ---------------------------------------------------------------------------------

    def exception(self, vector: int, error: int, cr2: int) -> None:
        """A processor exception in user mode."""
        k = self.k
        task = k.sched.current
        assert task is not None
        if vector == VEC_PF:
            self._page_fault(task, error, cr2)
        elif vector in (VEC_GP, VEC_UD) and self._emulated(task):
            return
        elif vector == IA32_SYSCALL:
            task.ledger.unknown[-IA32_SYSCALL] += 1
            k.cpu.regs[RAX] = -ENOSYS & U64
        else:
            self._fault_signal(task, self._trap_signal(vector), vector, error, 0, "")
        if k.checking:
            k.check()
        if task.attention or k.sched.current is not task:
            self.dispatch()

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
