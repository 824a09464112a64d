"""The register file of the one CPU: the state half of `mini_kernel.hw.Cpu`.

Two ways to reach the registers, chosen at construction. *In place*: the views lie over the engine's own CPU
struct, and entering or leaving the kernel copies nothing. *By copy*, where our own memory cannot be searched for the
struct: the views lie over a saved context, which `_pull` fills and `_push` writes back. Both have the same layout.

RFLAGS are spread out: arithmetic flags in cc_op and its operands, DF in a field of its own, the rest in `eflags`.
The bits of `eflags` that belong elsewhere may hold anything and are not looked at, except when the engine starts.
"""

import ctypes
from typing import Final

from emu.machine import boot, layout
from emu.machine import engine as uc
from emu.machine.engine import Engine
from emu.machine.errors import EngineError, MachineError
from emu.machine.fpu import Fpu
from emu.machine.ram import Ram
from mini_kernel.x86 import FLAG_DF, FLAG_FIXED, FLAG_TF

ALIVE: Final = 0xFFFF_FFFF  # old_exception when no exception is pending
NOWHERE: Final = 1 << 63  # not canonical: no instruction starts there
_ARITHMETIC: Final = 0x8D5  # CF PF AF ZF SF OF
_CC_OP_EFLAGS: Final = 1
_FLAGS_STORED: Final = 0xFFFF_FFFF & ~(_ARITHMETIC | FLAG_DF)


class Calibration:
    """What the first machine of this process found out; later ones only confirm it."""

    header: int | None = None
    fields: layout.Fields | None = None
    traps: layout.TrapFields | None = None
    path: layout.Path2 | None = None


class CpuState:
    """Registers, flags, segment bases, FPU and CR3 of the running task."""

    def __init__(self, engine: Engine, in_place: bool) -> None:
        self._engine = engine
        self._context = layout.Context(engine)
        self._handle, self._read_register = engine.handle, engine.lib.uc_reg_read
        self._step_from = NOWHERE  # RIP when TF came to be set inside the kernel, see Entries._fault
        self._fpu = Fpu(engine)
        self._flags = (ctypes.c_uint64 * 1)()
        self._flags_at = ctypes.addressof(self._flags)
        layout.write_probe(engine)
        if Calibration.header is None or Calibration.fields is None:
            Calibration.header = layout.header_size(self._context)
            Calibration.fields = layout.find_fields(engine, self._context, Calibration.header)
        fields = self._fields = Calibration.fields
        self._word_cr2, self._word_cr3 = fields.word_cr2, fields.word_cr3
        address = 0
        if in_place:
            address, Calibration.path = layout.find_struct(engine, Calibration.path)
        self.in_place = bool(address)
        self._view(address or (self._context.handle.value or 0) + Calibration.header)
        self._confirm()

    def _view(self, address: int) -> None:
        self._registers_at = address
        struct = (ctypes.c_ubyte * self._fields.size).from_address(address)
        self._state = memoryview(struct).cast("B")
        self._words = self._state.cast("Q")
        self._halves = self._state.cast("I")
        self.regs = self._words[: layout.WORD_RIP + 1]

    def _confirm(self) -> None:
        """Both directions must work: what the API writes shows in the views, and the reverse."""
        self._pull()
        layout.write_probe(self._engine)
        self._pull()
        ok = all(self.regs[i] == layout.PROBE[i] for i in range(16))
        for i in range(16):
            self.regs[i] = i
        self._push()
        ok = ok and all(int.from_bytes(self._engine.read(r), "little") == i for i, r in enumerate(uc.REG_GENERAL))
        if not ok:
            raise MachineError("calibration: the register file does not follow the CPU")

    def _enter_ring3(self, ram: Ram) -> None:
        """Run the boot code up to its page fault and keep the pristine ring-3 state."""
        entry = boot.prepare(self._engine, ram)
        self._pull()
        before = bytes(self._state)
        error = self._engine.start(entry)
        if error:
            raise EngineError("entering ring 3", error, self._engine.describe(error))
        self._pull()
        after = bytes(self._state)
        if Calibration.traps is None:
            Calibration.traps = layout.find_trap_fields(before, after)
        traps = Calibration.traps
        self._half_old, self._half_error, self._half_is_int = (
            traps.half_old_exception,
            traps.half_error,
            traps.half_is_int,
        )
        if after[self._half_old * 4] != 14 or self.regs[layout.WORD_RIP] != boot.USER_ENTRY:
            raise MachineError("entering ring 3 did not end in the expected page fault")
        layout.check_ring3(self._fields, after)
        boot.clean_up(ram)
        self._make_pristine()

    def _make_pristine(self) -> None:
        words, halves = self._words, self._halves
        words[: layout.WORD_RIP + 1] = memoryview(bytes(17 * 8)).cast("Q")
        words[self._word_cr2] = words[self._word_cr3] = 0
        halves[self._half_old], halves[self._half_error] = ALIVE, 0
        self.rflags = boot.START_FLAGS
        self._mode = halves[layout.HALF_HFLAGS]
        first = self._fields.word_segments
        self._segments = slice(first, first + 18)
        self._pristine_segments = memoryview(bytes(words[self._segments])).cast("Q")
        self._push()
        self._fresh = bytes(self._state)

    def _pull(self) -> None:
        """Before the kernel looks: make the views show the CPU."""
        if not self.in_place:
            self._context.save()

    def _push(self) -> None:
        """Before the CPU goes on: make it what the views show."""
        if not self.in_place:
            self._context.restore()

    def _release(self) -> None:
        """Revoke the views; a kept one raises ValueError from now on instead of reading freed memory."""
        for name in ("regs", "_words", "_halves", "_state"):
            if name in self.__dict__:  # a constructor that failed has not made them all
                self.__dict__[name].release()
        if "_context" in self.__dict__:
            self._context.close()

    def save(self) -> bytes:
        """The whole user state as an opaque value (5.5 KB). Valid in any machine of this engine version."""
        return bytes(self._state)

    def load(self, state: bytes) -> None:
        """Make `state` the running one. Its CR3 takes effect, with a flush, when user code goes on."""
        self._state[:] = state
        if self._words[layout.WORD_EFLAGS] & FLAG_TF:
            self._step_from = self._words[layout.WORD_RIP]

    def fresh(self) -> bytes:
        """The state of a new program, see `mini_kernel.hw.Cpu.fresh`. CR3 is 0: everything faults."""
        return self._fresh

    @property
    def cr3(self) -> int:
        """Physical address of the PGD. Written here it is not cut to 32 bits, as it is by the engine's API."""
        return self._words[self._word_cr3]

    @cr3.setter
    def cr3(self, value: int) -> None:
        self._words[self._word_cr3] = value

    @property
    def fs_base(self) -> int:
        """Base of FS (thread-local storage)."""
        return self._words[self._fields.word_fs_base]

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._words[self._fields.word_fs_base] = value

    @property
    def gs_base(self) -> int:
        """Base of GS."""
        return self._words[self._fields.word_gs_base]

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._words[self._fields.word_gs_base] = value

    @property
    def rflags(self) -> int:
        """RFLAGS. The engine keeps the arithmetic flags lazily: only it can work out most of their forms."""
        halves, words = self._halves, self._words
        if halves[layout.HALF_CC_OP] == _CC_OP_EFLAGS:
            rest = words[layout.WORD_EFLAGS] & _FLAGS_STORED
            return rest | words[layout.WORD_CC_SRC] | (halves[layout.HALF_DF] & FLAG_DF)
        self._push()
        self._read_register(self._handle, uc.REG_EFLAGS, self._flags_at)
        return self._flags[0]

    @rflags.setter
    def rflags(self, value: int) -> None:
        halves, words = self._halves, self._words
        words[layout.WORD_EFLAGS] = value & _FLAGS_STORED | FLAG_FIXED
        words[layout.WORD_CC_SRC] = value & _ARITHMETIC
        halves[layout.HALF_CC_OP] = _CC_OP_EFLAGS
        halves[layout.HALF_DF] = 0xFFFF_FFFF if value & FLAG_DF else 1
        if value & FLAG_TF:
            self._step_from = words[layout.WORD_RIP]

    def _before_start(self) -> None:
        """The engine takes all of RFLAGS from `eflags` when it starts: put them there.

        Otherwise a task that was switched to inside a hook would lose its arithmetic flags at the next start.
        """
        self._words[layout.WORD_EFLAGS] = self.rflags
        self._push()

    def fxsave(self) -> bytes:
        """The 512-byte FXSAVE64 image of the running state."""
        self._push()
        return self._fpu.read()

    def fxrstor(self, image: bytes) -> None:
        """Load x87 and SSE state from a 512-byte image (else ValueError)."""
        self._push()
        self._fpu.write(image)
        self._pull()
