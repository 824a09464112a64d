"""The engine's hooks: every way out of user code. What becomes of it is in entries.py.

They are installed once and for all: one that is removed or added later makes the engine raise phantom faults. Called by
the engine, none may raise; what fails is kept (`Entries._fail`), the engine stopped, and `run` raises.
"""

from emu.machine import engine as uc
from emu.machine import layout, native
from emu.machine.entries import FLAG_WORDS, Entries
from emu.machine.ram import Ram
from emu.machine.stepping import syscall_length
from mini_kernel.x86 import FLAG_TF, R11, RCX, RIP, U64, VEC_GP, VEC_UD


class Hooks(Entries):
    """A CPU in ring 3 whose every system call, exception and preemption comes to Entries."""

    def __init__(
        self, engine: uc.Engine, ram: Ram, stubs: native.NativeCode | None, exact: bool, in_place: bool
    ) -> None:
        super().__init__(engine, ram, stubs, exact, in_place)
        self._install_hooks()
        self._exception = self._stop_at_boot
        self._enter_ring3(ram)
        self._exception = self._on_exception
        self._frame.mode = self._mode
        self._count_from_zero()

    def _install_hooks(self) -> None:
        """All that will ever be: a hook removed or added later makes the engine raise phantom faults (trap 2)."""
        engine, stubs = self._engine, self._stubs
        engine.hook(uc.HOOK_INTR, uc.InterruptHook(self._interrupt_hook))
        self._frame = native.SyscallFrame(
            registers=self._registers_at,
            read=native.address_of(engine.lib.uc_reg_read),
            ram=self._ram.address,
            size=self._ram.size,
            cr3_at=self._registers_at + self._word_cr3 * 8,
        )
        if stubs and self.in_place:
            self._enter = uc.SyscallHook(self._entered_hook), uc.SyscallHook(self._odd_hook)
            self._frame.enter, self._frame.odd = (native.address_of(callback) for callback in self._enter)
            engine.hook(uc.HOOK_INSN, stubs.syscall, native.data_of(self._frame), uc.INSN_SYSCALL)
        else:
            engine.hook(uc.HOOK_INSN, uc.SyscallHook(self._syscall_hook), insn=uc.INSN_SYSCALL)
        engine.hook(uc.HOOK_INSN, uc.SyscallHook(self._sysenter_hook), insn=uc.INSN_SYSENTER)
        engine.hook(uc.HOOK_INSN, uc.InHook(self._in_hook), insn=uc.INSN_IN)
        engine.hook(uc.HOOK_INSN, uc.SyscallHook(self._out_hook), insn=uc.INSN_OUT)
        self._hook_blocks()
        if self._traced:
            engine.hook(uc.HOOK_BLOCK, uc.BlockHook(self._traced_hook))
        if self.exact:
            self._hook_instructions()

    def _hook_blocks(self) -> None:
        if self._stubs:
            self._engine.hook(uc.HOOK_BLOCK, self._stubs.block, native.data_of(self._block_counter))
        else:
            self._engine.hook(uc.HOOK_BLOCK, uc.SyscallHook(self._block_hook))

    def _hook_instructions(self) -> None:
        if self._stubs and self.in_place:
            self._engine.hook(uc.HOOK_CODE, self._stubs.code, native.data_of(self._code_counter))
        else:
            self._engine.hook(uc.HOOK_CODE, uc.CodeHook(self._code_hook))

    def _entered_hook(self) -> None:
        """`syscall`, with RIP, RCX and R11 set, mode and length checked by native.SYSCALL_CODE."""
        try:
            if self._odd or self.exact:
                self._prepare_syscall()
            if self._refused is None:
                self._kernel_syscall()
                if self._due or self._words[self._word_cr3] != self._loaded_cr3:
                    self._leave()
        except BaseException as failure:
            self._fail(failure)

    def _odd_hook(self) -> None:
        """`syscall` that native.SYSCALL_CODE leaves to us; it has added 2 to RIP and will take it off again."""
        try:
            if self._refused is None:
                self._words[RIP] = (self._words[RIP] - 2) & U64
                self._slow_syscall()
                self._words[RIP] = (self._words[RIP] + 2) & U64
        except BaseException as failure:
            self._fail(failure)

    def _syscall_hook(self) -> None:
        """`syscall` without native code."""
        try:
            if self._refused is None:
                self._pull()
                self._slow_syscall()
        except BaseException as failure:
            self._fail(failure)

    def _slow_syscall(self) -> None:
        """RIP is at the instruction, and the engine will add the instruction's length after the hook."""
        words = self._words
        if not self._mode_is_right():
            self._refuse(VEC_GP)
            return
        length = syscall_length(self._ram, words[self._word_cr3], words[RIP])
        words[RIP] = words[RCX] = (words[RIP] + length) & U64
        words[R11] = self.rflags
        self._prepare_syscall()
        self._kernel_syscall()
        if words[layout.WORD_EFLAGS] & FLAG_TF:
            self._step_from = words[RIP]
        words[RIP] = (words[RIP] - length) & U64
        self._leave()

    def _interrupt_hook(self, _engine: int, vector: int) -> None:
        try:
            self._exception(vector)
        except BaseException as failure:
            self._fail(failure)

    def _sysenter_hook(self) -> None:
        """Linux programs no SYSENTER entry for 64-bit code; the CPU then answers #GP, Linux kills with SIGILL: #UD."""
        self._refuse_hook(VEC_UD)

    def _in_hook(self) -> int:
        self._refuse_hook(VEC_GP)
        return 0

    def _out_hook(self) -> None:
        self._refuse_hook(VEC_GP)

    def _refuse_hook(self, vector: int) -> None:
        try:
            self._refuse(vector)
        except BaseException as failure:
            self._fail(failure)

    def _traced_hook(self, _engine: int, address: int, size: int) -> None:
        """Tell `on_block`, unless the slice ends before this block: it is begun again then."""
        try:
            if self.on_block is not None and self._block_counter.left >= 0 and not self._odd:
                self.on_block(address, size)
        except BaseException as failure:
            self._fail(failure)

    def _block_hook(self) -> None:
        """What native.BLOCK_LISTING does, for hosts without it."""
        counter = self._block_counter
        counter.left -= 1
        if counter.left < 0:
            self._stop_engine(self._handle)

    def _code_hook(self, _engine: int, address: int) -> None:
        """What native.CODE_LISTING does, for hosts without it."""
        counter = self._code_counter
        counter.left -= 1
        if counter.left < 0:
            self._stop_engine(self._handle)
            return
        counter.count += 1
        counter.last = address
        self._pull()
        counter.flags[:] = self._words[FLAG_WORDS].tolist()
