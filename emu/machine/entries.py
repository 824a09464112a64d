"""Entering and leaving the kernel: what becomes of what the hooks (hooks.py) report.

The CPU stays in ring 3 for good. Every way out of user code is a hook of the engine, and the kernel runs *inside*
the hook: a stop and restart of the engine costs ten times an empty system call. What the kernel does to `regs`
there is done to the CPU itself (cpu.py).

The invariants, each the cure of a misbehaviour of the engine:

- `old_exception` is -1 whenever user code runs, else the next page fault is a double fault.
- CR3 changed, or a flush asked for: the TLB is emptied before user code runs. The engine does neither by itself.
- On entry the mode (privilege, code size), VM and IOPL are what `sysretq` set, else they are put back and
  the task gets a general protection fault: `iretd` in ring 3 can leave 64-bit mode. NT is the task's own business.
- No exception leaves a callback (ctypes would print and drop it): it is kept, the engine stopped, and `run` raises.
"""

from collections.abc import Callable
from typing import Final

from emu.machine import aborts, layout, native
from emu.machine import engine as uc
from emu.machine.cpu import ALIVE, NOWHERE, CpuState
from emu.machine.errors import MachineError
from emu.machine.ram import Ram
from emu.machine.stepping import Stepper
from mini_kernel.hw import TrapHandler
from mini_kernel.x86 import (
    FLAG_IOPL,
    FLAG_TF,
    FLAG_VM,
    PF_INSTR,
    R11,
    RIP,
    U64,
    VEC_BP,
    VEC_DB,
    VEC_DF,
    VEC_GP,
    VEC_PF,
    VEC_UD,
)

NEVER: Final = 1 << 62
#: What is due before user code goes on.
FLUSH_TLB, FLUSH_CODE, STOP, INTERRUPT = 1, 2, 4, 8

FLAG_WORDS: Final = slice(layout.WORD_EFLAGS, layout.WORD_EFLAGS + 5)  # eflags cc_dst cc_src cc_src2 cc_op+df
_MODE_FLAGS: Final = FLAG_VM | FLAG_IOPL
_VECTOR_SYSCALL: Final = 0x80
_HAS_ERROR: Final = frozenset((8, 10, 11, 12, 13, 14, 17))


class _NoKernel:
    """The trap handler before `attach`."""

    def syscall(self) -> None:
        raise MachineError("no trap handler is attached")

    def exception(self, vector: int, error: int, cr2: int) -> None:
        raise MachineError(f"no trap handler is attached (exception {vector}, error {error}, address {cr2:#x})")

    def tick(self) -> None:
        raise MachineError("no trap handler is attached")


class Entries(CpuState):
    """A CPU that enters a `TrapHandler`. `hooks.Hooks` adds the ways in, `machine.Machine` the loop."""

    _traced = False  # set before the hooks are installed
    #: Of a traced machine: told a block's address and size in bytes; size 0: it was cut off before this instruction.
    on_block: Callable[[int, int], object] | None = None

    def __init__(
        self, engine: uc.Engine, ram: Ram, stubs: native.NativeCode | None, exact: bool, in_place: bool
    ) -> None:
        super().__init__(engine, in_place)
        self.exact = exact
        self._ram = ram
        self._stubs = stubs
        self._aborts = aborts.guard() if stubs and self.in_place else None
        self._stop_engine = engine.lib.uc_emu_stop
        self._control = engine.lib.uc_ctl
        stop = native.address_of(self._stop_engine)
        self._block_counter = self._new_block_counter(stop)
        self._code_counter = self._new_code_counter(stop)
        self._due: int = FLUSH_TLB
        self.tlb_flushes = self.code_flushes = 0  # done so far
        self._loaded_cr3 = 0
        self._failure: BaseException | None = None
        self._odd = False  # a stretch of user code that the kernel must not see: one of the next two
        self._stepper = Stepper(ram, self._words, self._word_cr3)
        self._refused: tuple[int, bytes, bytes] | None = None  # vector, state and counter, see _refuse
        self.attach(_NoKernel())

    def _count_from_zero(self) -> None:
        """No instruction was begun yet: neither those of the way to ring 3 nor those of an earlier kernel count."""
        counter = self._code_counter
        counter.left, counter.count, counter.last = NEVER, 0, NOWHERE
        counter.flags[:] = [0] * len(counter.flags)

    def _forget(self) -> None:
        """The state behind the constructor, whatever user code and a kernel have done since."""
        self.attach(_NoKernel())
        self.on_block = None
        self._failure = self._refused = None
        self._odd = self._stepper.active = False
        self._count_from_zero()
        self.load(self._fresh)
        self._step_from = NOWHERE
        for flush in (uc.CODE_FLUSH, uc.TLB_FLUSH):
            self._control(self._handle, flush)
        self._due = FLUSH_TLB
        self._loaded_cr3 = self.tlb_flushes = self.code_flushes = 0
        self._push()

    def attach(self, traps: TrapHandler) -> None:
        """Set the kernel that the CPU enters. Not while `run` is active."""
        self._due |= FLUSH_TLB  # nothing the last kernel mapped is believed any more
        self._traps = traps
        self._kernel_syscall = traps.syscall

    def _new_block_counter(self, stop: int) -> native.Counter:
        return native.Counter(NEVER, stop, 0, 0)

    def _new_code_counter(self, stop: int) -> native.Counter:
        return native.Counter(NEVER, stop, 0, NOWHERE, self._registers_at)

    def _fail(self, failure: BaseException) -> None:
        if self._failure is None:
            self._failure = failure
        self._stop_engine(self._handle)

    def _prepare_syscall(self) -> None:
        if self.exact:
            if self._code_counter.last != NOWHERE:
                self._restore_flags()
                self._words[R11] = self.rflags
            self._settle(begun=False)
        if self._stepper.active:
            self._end_stepping()
            self._words[R11] &= ~FLAG_TF & U64

    def _stop_at_boot(self, vector: int) -> None:
        """The page fault that ends the way to ring 3."""
        if vector != VEC_PF:
            raise MachineError(f"exception {vector} on the way to ring 3")
        self._stop_engine(self._handle)

    def _on_exception(self, vector: int) -> None:
        """An exception or software interrupt; the engine has put RIP behind the latter."""
        if not self.in_place:
            self._pull()
        halves, words = self._halves, self._words
        halves[self._half_old] = ALIVE
        if self._refused is not None:
            self._push()
            return
        if halves[layout.HALF_HFLAGS] != self._mode or words[layout.WORD_EFLAGS] & _MODE_FLAGS:
            self._repair_mode()
        elif halves[self._half_is_int]:
            self._software_interrupt(vector)
        elif vector == VEC_PF:
            self._page_fault(halves[self._half_error], words[self._word_cr2])
        else:
            self._fault(vector, halves[self._half_error])
        if self._due or words[self._word_cr3] != self._loaded_cr3 or not self.in_place:
            self._leave()

    def _page_fault(self, error: int, cr2: int) -> None:
        if self._stepper.active:
            self._end_stepping()
        elif error & PF_INSTR and self._begin_stepping(cr2):
            return
        if self.exact:
            self._settle(begun=True)
        self._traps.exception(VEC_PF, error, cr2)

    def _begin_stepping(self, cr2: int) -> bool:
        """True if this fetch fault came before its instruction was reached: look for the place (stepping.py)."""
        words = self._words
        if (cr2 ^ words[RIP]) >> 12 == 0 or words[layout.WORD_EFLAGS] & FLAG_TF:
            return False
        self._odd = True
        self._stepper.begin()
        return True

    def _end_stepping(self) -> None:
        self._odd = False
        self._stepper.end()
        self._code_counter.flags[0] &= ~FLAG_TF & U64  # where `_settle` would find it again

    def _fault(self, vector: int, error: int) -> None:
        if self._stepper.active:
            if vector == VEC_DB:
                self._stepper.stepped()
                return
            self._end_stepping()
        if vector == VEC_DB:
            step_from, self._step_from = self._step_from, NOWHERE
            if step_from == self._words[RIP]:
                return  # behind `syscall` the engine looks at TF at once; a CPU runs one instruction first
        if vector == VEC_DF or vector > 31:
            raise MachineError(f"the engine reported exception {vector} at {self._words[RIP]:#x}")
        if self.exact:
            self._settle(begun=vector != VEC_DB)
        self._traps.exception(vector, error if vector in _HAS_ERROR else 0, 0)

    def _software_interrupt(self, number: int) -> None:
        """`int n` as through Linux's IDT: gates open to ring 3 are 3 and 0x80.

        For the others RIP goes back to the opcode, CD nn; a prefix before it, which nobody writes, is skipped.
        """
        if self._stepper.active:
            self._end_stepping()
        trap = number in (VEC_BP, _VECTOR_SYSCALL)
        if not trap:
            self._words[RIP] = (self._words[RIP] - 2) & U64
        if self.exact:
            self._settle(begun=not trap)
        if trap:
            self._traps.exception(number, 0, 0)
            return
        self._traps.exception(VEC_GP, number * 8 + 2, 0)

    def _check_mode(self) -> bool:
        """False if the mode had to be repaired, and the task was told."""
        if self._mode_is_right():
            return True
        self._repair_mode()
        return False

    def _mode_is_right(self) -> bool:
        return self._halves[layout.HALF_HFLAGS] == self._mode and not self._words[layout.WORD_EFLAGS] & _MODE_FLAGS

    def _repair_mode(self) -> None:
        """User code has left 64-bit ring 3 (trap 5): put the mode back and fault."""
        words = self._words
        if self._stepper.active:
            self._end_stepping()
        self._halves[layout.HALF_HFLAGS] = self._mode
        words[layout.WORD_EFLAGS] &= ~_MODE_FLAGS & U64
        words[self._segments] = self._pristine_segments
        if self.exact:
            self._settle(begun=False)
        self._traps.exception(VEC_GP, 0, 0)

    def _refuse(self, vector: int) -> None:
        """An instruction that must fault but that the engine is executing (in, out, sysenter; trap 6).

        The hook cannot keep the rest of the block from running. So the state is put aside, and the rest runs with
        no memory at all (CR3 0): its first access ends it, its effect on registers is thrown away, and its system
        calls are ignored. `run` then restores the state, takes back the count of those instructions, and delivers the
        exception. One thing stays wrong: unless exact=True, the arithmetic flags may be those of an earlier
        instruction of the block.
        """
        if self._refused is not None:
            return
        self._pull()
        if self._stepper.active:
            self._end_stepping()
        self._refused = vector, bytes(self._state), bytes(self._code_counter)
        self._odd = True
        self._words[self._word_cr3] = 0
        self._push()
        self._control(self._handle, uc.TLB_FLUSH)
        self._stop_engine(self._handle)

    def _uncount_rest(self) -> None:
        """The instructions behind one that was refused were never executed."""
        if self._refused is not None and self.exact:
            self._code_counter.restore(self._refused[2])

    def _deliver_refused(self) -> None:
        """The engine has stopped after `_refuse`."""
        if self._refused is not None:
            (vector, state, _counter), self._refused = self._refused, None
            self._odd = False
            self._state[:] = state
            self._due |= FLUSH_TLB
            self._deliver(vector)

    def _deliver_undefined(self) -> None:
        """The engine has stopped with UC_ERR_INSN_INVALID: #UD, or `int 6`, with RIP at the instruction."""
        if self._has_aborted() and not self._stepper.active and not self._words[layout.WORD_EFLAGS] & FLAG_TF:
            self._stepper.begin()  # RIP is at the start of the block: go on to the instruction itself
            self._leave()
        elif self._halves[self._half_is_int] and self._mode_is_right():
            self._words[RIP] = (self._words[RIP] + 2) & U64
            self._software_interrupt(VEC_UD)
            self._leave()
        else:
            self._deliver(VEC_UD)

    def _has_aborted(self) -> bool:
        """True if the last #UD stands for an abort of the translator (see aborts.py). Forgets it."""
        if self._aborts is None or not self._aborts.count:
            return False
        self._aborts.count = 0
        return True

    def _deliver(self, vector: int) -> None:
        """An exception that stopped the engine, and so is delivered outside its hooks."""
        if self._check_mode():
            if self._stepper.active:
                self._end_stepping()
            if self.exact:
                self._settle(begun=True)
            self._traps.exception(vector, 0, 0)
        self._leave()

    def _settle(self, begun: bool) -> None:
        """On entry with exact=True: make the flags true again, and take back the count of what was not executed.

        `begun`: the instruction at RIP may have been begun, and will be again (a fault, not a trap).

        Under an instruction hook the engine works the flags out before every instruction, into cc_src. On a fault it
        then restores cc_op from before that, and the two no longer go together. The hook has kept all five words
        as they were when the instruction began.
        """
        counter, words = self._code_counter, self._words
        if begun and counter.last == words[RIP]:
            counter.count -= 1
            counter.left += 1
            self._restore_flags()
        counter.last = NOWHERE

    def _restore_flags(self) -> None:
        """As they were when the last instruction began."""
        for word, value in enumerate(self._code_counter.flags, layout.WORD_EFLAGS):
            self._words[word] = value

    def _leave(self) -> None:
        """Back to user code: do what is due."""
        due, cr3 = self._due, self._words[self._word_cr3]
        if due & FLUSH_CODE:
            self.code_flushes += 1
            self._control(self._handle, uc.CODE_FLUSH)
        if due & (FLUSH_TLB | FLUSH_CODE) or cr3 != self._loaded_cr3:
            self.tlb_flushes += 1
            self._control(self._handle, uc.TLB_FLUSH)
            self._loaded_cr3 = cr3
            self._due = due & (STOP | INTERRUPT)
        self._push()
        if due & (STOP | INTERRUPT):
            self._stop_engine(self._handle)

    # The rest of hw.Cpu

    def flush_tlb(self) -> None:
        """Empty the TLB before user code runs again."""
        self._due |= FLUSH_TLB

    def flush_code(self) -> None:
        """Forget all translated code, and the TLB, before user code runs again (27 us)."""
        self._due |= FLUSH_CODE

    def stop(self) -> None:
        """Make `run` return 'stopped' once the current entry is over."""
        self._due |= STOP
