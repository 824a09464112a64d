"""Machines whose clock counts jumps instead of blocks: instructions that do not lie behind the one before.

Where the engine cuts straight code into blocks depends on how it is watched and on where it was stopped. Jumps depend
on the program alone, so that a run at full speed (RecordMachine, which counts at block starts) and one under a debugger
(DebugMachine, which counts before instructions) have the same clock and the same slices, and one can be the replay of
the other. Behind an exception or a tick the next instruction counts as a jump in both.
"""

from typing import ClassVar, Protocol, cast

from emu.machine import engine as uc
from emu.machine import native, probes
from emu.machine.cpu import NOWHERE
from emu.machine.entries import NEVER
from emu.machine.errors import MachineError
from emu.machine.machine import DEFAULT_QUANTUM, Machine, StopReason
from mini_kernel.hw import TrapHandler


class Jumper(Protocol):
    """What the counting code works on; see probes.Probe."""

    end: int
    jumps: int
    tick_at: int


class JumpMachine(Machine):
    """Base of the two. Precondition for subclasses: `_jumper` is there before the engine first runs."""

    recyclable: ClassVar[bool] = False
    _jumper: Jumper
    _tick_due = NEVER
    _end = NEVER

    def _start_clock(self) -> None:
        """What boot has counted does not count."""
        self._left = NEVER  # blocks do not end slices
        self._jumper.jumps = 0
        self._jumper.end = NOWHERE
        self.slice_left = self.quantum
        if not self.in_place:
            raise MachineError("recording and debugging need the engine's register file in place")

    @property
    def jumps(self) -> int:
        """So far."""
        return self._jumper.jumps

    def blocks(self) -> int:
        """The clock: jumps."""
        return self._jumper.jumps

    @property
    def slice_left(self) -> int:
        """Jumps until the next tick."""
        return self._tick_due - self._jumper.jumps

    @slice_left.setter
    def slice_left(self, value: int) -> None:
        self._tick_due = self._jumper.jumps + value
        self._jumper.tick_at = min(self._tick_due, self._end)

    def set_end(self, jumps: int) -> None:
        """Let `run` return "end" after so many jumps since boot."""
        self._end = jumps
        self._jumper.tick_at = min(self._tick_due, jumps)

    @property
    def last_end(self) -> int:
        """Where the last instruction ended, which decides whether the next one counts as a jump."""
        return self._jumper.end

    @last_end.setter
    def last_end(self, value: int) -> None:
        self._jumper.end = value

    def _end_slice(self, error: int) -> StopReason | None:
        cut = super()._end_slice(error)
        if cut is not None and self._stepper.active:
            self._end_stepping()  # the fetch fault comes again
        if cut != "tick":
            return cut
        if self._jumper.jumps >= self._end:
            return "end"
        self._end_time_slice()
        return None

    def _end_time_slice(self) -> None:
        self.slice_left = self.quantum
        if self._check_mode():
            self._tick()
        self._leave()

    def _tick(self) -> None:
        self._jumper.end = NOWHERE
        self._traps.tick()


class RecordMachine(JumpMachine):
    """A machine at full speed whose clock a DebugMachine can follow. Raises MachineError where it cannot be had."""

    def __init__(self, ram_bytes: int, quantum: int = DEFAULT_QUANTUM, huge_pages: bool = True) -> None:
        code = probes.load()
        if code is None:
            raise MachineError("recording needs an x86-64 host that allows executable memory")
        self._pages, self._jump_at = code, code.jump
        super().__init__(ram_bytes, quantum, "native", huge_pages=huge_pages)
        self._start_clock()

    def _new_block_counter(self, stop: int) -> native.Counter:
        counter = probes.JumpCounter(NEVER, stop)
        counter.end, counter.tick_at = NOWHERE, NEVER
        self._jumper = self._counter = counter
        return cast(native.Counter, counter)  # `left` and `stop` are where they are there

    def _hook_blocks(self) -> None:
        self._engine.hook(uc.HOOK_BLOCK, self._jump_at, native.data_of(self._counter))

    def _cut_short(self) -> StopReason | None:
        if self._counter.hit:
            self._counter.hit = 0
            return "tick"
        return super()._cut_short()

    def attach(self, traps: TrapHandler) -> None:
        """As Machine's; exceptions make the next instruction a jump."""
        super().attach(_Jumping(self, traps))
        self._kernel_syscall = traps.syscall


class _Jumping:
    """A trap handler that does that."""

    def __init__(self, machine: JumpMachine, traps: TrapHandler) -> None:
        self._machine = machine
        self.syscall = traps.syscall
        self._exception = traps.exception
        self.tick = traps.tick

    def exception(self, vector: int, error: int, cr2: int) -> None:
        self._machine.last_end = NOWHERE
        self._exception(vector, error, cr2)
