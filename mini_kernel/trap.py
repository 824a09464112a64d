"""Entries from user mode: system calls, exceptions, the clock tick, and the way back.

The one place where SysError becomes -errno (Linux entry_64.S); exceptions become signals in exceptions.py.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from mini_kernel import cputime, jobs, process, signal
from mini_kernel.errors import SysError
from mini_kernel.exceptions import IA32_SYSCALL, Exceptions
from mini_kernel.steer import give_up_cpu
from mini_kernel.syscalls.table import TABLE
from mini_kernel.task import Interrupted, SigInfo, State, Task
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
    SA_RESTART,
    SI_KERNEL,
    SIG_DFL,
    SIG_IGN,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
)
from mini_kernel.wait import Block
from mini_kernel.x86 import (
    R8,
    R9,
    R10,
    RAX,
    RDI,
    RDX,
    RIP,
    RSI,
    U64,
    VEC_GP,
    VEC_PF,
    VEC_UD,
)

if TYPE_CHECKING:
    pass

_REGISTERS: Final = (RDI, RSI, RDX, R10, R8, R9)
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

_RUNNABLE, _DEAD = State.RUNNABLE, State.DEAD  # a look-up in an Enum class costs more than a whole test


class Traps(Exceptions):
    """The trap handler of one kernel (hw.TrapHandler)."""

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
