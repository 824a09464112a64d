"""The machine: RAM, one CPU, and the loop that runs user code in time slices.

A slice is a number of basic blocks, counted by native code (native.py), so it ends at the same place in every run
whatever the host does. For the sake of `interrupt` the engine is stopped more often, after a time that adapts; the
guest cannot see that, since ticks do not move.
"""

import time
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self

from emu.machine import engine as uc
from emu.machine import native
from emu.machine.cpu import ALIVE
from emu.machine.entries import INTERRUPT, NEVER, STOP
from emu.machine.errors import ClosedError, MachineError
from emu.machine.hooks import Hooks
from emu.machine.ram import Ram
from mini_kernel.x86 import PAGE_SHIFT, RIP

DEFAULT_QUANTUM: Final = 200_000  # blocks; one to three milliseconds of ordinary code
_CODE_BUFFER: Final = 32 << 20
# How long the engine may run before the loop looks at interrupt(), in seconds, and the first guess in blocks.
_POLL_MIN, _POLL_MAX, _POLL_START = 0.005, 0.02, 20_000

SliceMethod = Literal["native", "python"]
StopReason = Literal["stopped", "interrupted", "budget", "probe", "access", "tick", "end"]  # the last four: JumpMachine


class Machine(Hooks):
    """RAM of `ram_bytes`, one CPU, and the loop that runs user code until the kernel stops it.

    quantum        length of a time slice in blocks; may be set any time, and holds from the next slice on
    slice_method   who counts blocks; None: 'native' where the host allows it, else 'python' (a fiftieth of the speed)
    exact          count instructions too (`instructions`, `set_instruction_budget`); a tenth of the speed. The engine
                   then cuts straight code of more than some 300 instructions into more blocks, so ticks may
                   fall elsewhere than without; both are repeatable
    in_place       use the engine's register file directly where it can be found
    traced         call `on_block` before each basic block; a hundredth of the speed
    """

    recyclable: ClassVar[bool] = True  # `recycle` can be called

    def __init__(
        self,
        ram_bytes: int,
        quantum: int = DEFAULT_QUANTUM,
        slice_method: SliceMethod | None = None,
        exact: bool = False,
        in_place: bool = True,
        huge_pages: bool = True,
        traced: bool = False,
    ) -> None:
        if slice_method not in (None, "native", "python"):
            raise ValueError(f"slice_method is 'native', 'python' or None, not {slice_method!r}")
        if quantum < 1:
            raise ValueError(f"a quantum of {quantum} blocks")
        self._running = False
        self.ram = Ram(ram_bytes, huge_pages)
        self._open_engine = uc.Engine(_CODE_BUFFER)
        try:
            self._open_engine.map(self.ram.address, self.ram.size)
            stubs = None if slice_method == "python" else native.load()
            if stubs is None and slice_method == "native":
                raise MachineError("native slices need an x86-64 host that allows executable memory")
            self.slice_method: SliceMethod = "native" if stubs else "python"
            self.quantum = self._left = quantum
            self._blocks = self._chunk = 0
            self._poll = _POLL_START
            self._traced = traced
            super().__init__(self._open_engine, self.ram, stubs, exact, in_place)
            self._block_counter.left = 0
        except BaseException:
            self.close()
            raise

    def blocks(self) -> int:
        """Basic blocks run so far."""
        return self._blocks + self._chunk - max(self._block_counter.left, 0)

    @property
    def slice_left(self) -> int:
        """Blocks until the next tick. Assignable outside `run`, so that a restored system is preempted as the first."""
        return self._left - self._chunk + max(self._block_counter.left, 0)

    @slice_left.setter
    def slice_left(self, value: int) -> None:
        self._left = value

    def instructions(self) -> int:
        """Instructions executed so far (exact=True only, else MachineError).

        One that faults and is restarted counts once; every iteration of a REP string instruction counts as one.
        """
        self._need_exact()
        return self._code_counter.count

    def set_instruction_budget(self, count: int | None) -> None:
        """Make `run` return 'budget' after exactly `count` more instructions; None takes the limit away."""
        self._need_exact()
        self._code_counter.left = NEVER if count is None else count

    def _need_exact(self) -> None:
        if not self.exact:
            raise MachineError("instructions are only counted by a machine made with exact=True")

    def run(self) -> StopReason:
        """Run user code until the kernel calls `stop`, `interrupt` is called or the budget is used up.

        Raises what a trap handler raised, and MachineError when the engine stops for no reason it should. The
        interpreter's own SIGINT handler would raise in the middle of anything: callers install one that calls
        `interrupt`.
        """
        if self._running:
            raise MachineError("run() is not reentrant")
        self._running = True
        self._due &= ~STOP
        try:
            self._leave()
            return self._slices()
        finally:
            self._running = False

    def _slices(self) -> StopReason:
        while True:
            if self._due & STOP:
                return "stopped"
            if self._due & INTERRUPT:
                self._due &= ~INTERRUPT
                return "interrupted"
            cut = self._slice()
            if cut is not None:
                return cut

    def _slice(self) -> StopReason | None:
        """One start of the engine and what its end asks for. Returns why `run` must come back, if it must."""
        self._chunk = self._block_counter.left = max(1, min(self._left, self._poll))
        self._before_start()
        began = time.perf_counter()
        error = self._start()
        self._adapt_poll(time.perf_counter() - began)
        return self._end_slice(error)

    def _end_slice(self, error: int) -> StopReason | None:
        """The engine was started for `_chunk` blocks and has come back with this uc_err."""
        chunk, counter = self._chunk, self._block_counter
        self._pull()
        self._halves[self._half_old] = ALIVE
        self._uncount_rest()
        cut = self._cut_short()
        if cut is not None:
            counter.left += 1  # the block hook will count the block again when it goes on
        expired = counter.left < 0
        used = chunk - max(counter.left, 0)
        counter.left = self._chunk = 0
        self._blocks += used
        self._left -= used
        self._finish_slice(error, expired, cut is not None)
        return cut

    def _cut_short(self) -> StopReason | None:
        """Why the instruction hook stopped the engine, if it did: before an instruction that it has not counted."""
        if self._code_counter.left >= 0:
            return None
        self._code_counter.left = 0
        return "budget"

    def _start(self) -> int:
        """Run until something stops the engine; the uc_err."""
        cells = self._aborts
        if cells is None:
            return self._engine.start(self.regs[RIP])
        cells.env = self._registers_at
        error = self._engine.start(self.regs[RIP])
        cells.env = 0
        return error

    def _finish_slice(self, error: int, expired: bool, cut: bool) -> None:
        if self._failure is not None:
            failure, self._failure, self._refused = self._failure, None, None
            raise failure
        if self._refused is not None:
            self._deliver_refused()
        elif error == uc.ERR_INSN_INVALID:
            self._deliver_undefined()
        elif error:
            raise MachineError(f"the engine gave up at {self.regs[RIP]:#x}: {self._engine.describe(error)}")
        elif expired:
            self._tick_if_due()
        elif not (cut or self._due & (STOP | INTERRUPT)):
            raise MachineError(f"the engine stopped for no reason at {self.regs[RIP]:#x}")

    def _adapt_poll(self, seconds: float) -> None:
        """Keep the time between two looks at `interrupt` in bounds."""
        if seconds > _POLL_MAX:
            self._poll = max(self._poll // 2, 16)
        elif seconds < _POLL_MIN and self._chunk == self._poll:
            self._poll = min(self._poll * 2, NEVER)

    def _tick_if_due(self) -> None:
        if self._left > 0:
            return
        self._left = self.quantum
        if self._check_mode():
            if self._stepper.active:
                self._end_stepping()
            self._traps.tick()
        self._leave()

    def interrupt(self) -> None:
        """Make `run` return 'interrupted' within milliseconds. From any thread or signal handler."""
        self._due |= INTERRUPT
        if self._running:
            self._stop_engine(self._handle)

    def recycle(self) -> None:
        """Become what a new machine of this kind is, at a tenth of its cost: RAM zero, nothing counted, no kernel.

        Precondition: `run` came back without an error, and the machine is `recyclable`.
        """
        if self._running or not self.recyclable:
            raise MachineError("only a machine that does not run, and is no debugger's, can be recycled")
        self.ram.discard(0, self.ram.size >> PAGE_SHIFT)
        self._left = self.quantum
        self._blocks = self._chunk = self._block_counter.left = 0
        self._poll = _POLL_START
        self._forget()

    def close(self) -> None:
        """Free everything. Safe to repeat; any later use raises ClosedError, of a kept register view ValueError."""
        if self._running:
            raise MachineError("close() inside run()")
        self._release()
        if "_open_engine" in self.__dict__:
            self._open_engine.close()
        self.ram.release()
        self.__dict__.clear()
        object.__setattr__(self, "__class__", _Closed)

    @staticmethod
    def closed() -> "Machine":
        """One that is closed."""
        return _Closed.__new__(_Closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if "ram" in self.__dict__:
            self._running = False
            self.close()


class _Closed(Machine):
    """What a machine becomes when it is closed. (A `__getattr__` on Machine would slow every attribute down.)"""

    def close(self) -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        raise ClosedError

    def __del__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        if name in ("close", "__class__", "__dict__"):
            return object.__getattribute__(self, name)
        raise ClosedError
