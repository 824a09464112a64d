"""A machine for a debugger: exact, and stopped by breakpoints, ranges and memory accesses without touching the guest.

Time is `instructions()`, which may be set: going back to a snapshot goes back in time. Every stop is before an
instruction that has had no effect yet, and running on from there is the same as not having stopped.
"""

import ctypes
from collections.abc import Set as AbstractSet
from typing import ClassVar, Final, Literal, NamedTuple

from emu.machine import engine as uc
from emu.machine import native, probes
from emu.machine.cpu import NOWHERE
from emu.machine.entries import FLUSH_CODE, FLUSH_TLB, NEVER
from emu.machine.errors import MachineError
from emu.machine.jumps import JumpMachine
from emu.machine.machine import DEFAULT_QUANTUM, Machine, StopReason
from emu.machine.muted import find as find_muted
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PF_INSTR, R11, RCX, RIP

AccessKind = Literal["read", "write"]
RECORD_BYTES: Final = probes.RECORD_BYTES
_CHUNK: Final = 20_000  # blocks that a run begins with
_LEFT, _COUNT, _RESUME, _HIT = map(probes.word_of, ("left", "count", "resume", "hit"))


class Access(NamedTuple):
    """A load or store of user code that touched a watched range. `value` is what a store writes, at most 8 bytes."""

    kind: AccessKind
    physical: int
    size: int
    value: int
    rip: int  # of the instruction


class Range(NamedTuple):
    """Physical addresses [start, end) to watch for loads, stores or both."""

    start: int
    end: int
    reads: bool
    writes: bool


class DebugMachine(JumpMachine):
    """A Machine with a Probe. Raises MachineError where the host cannot run native code.

    by_instructions   time slices are so many instructions, not jumps, so that they can end between any two
    traced            as for Machine
    """

    _hooks_accesses = True

    def __init__(
        self,
        ram_bytes: int,
        quantum: int = DEFAULT_QUANTUM,
        huge_pages: bool = True,
        by_instructions: bool = False,
        traced: bool = False,
    ) -> None:
        code = probes.load()
        if code is None:
            raise MachineError("the debugger needs an x86-64 host that allows executable memory")
        self._probes = code
        self._tables = probes.Tables()
        self._ranges: tuple[Range, ...] = ()
        self._held: int | None = None  # the budget, while an access has set it to 0
        self._from = NOWHERE  # the instruction that entered the kernel
        self._taken_back = False  # as it faulted
        self.accesses: list[Access] = []
        self._by_instructions = False
        self._unseen = ctypes.c_uint64()  # a machine by instructions cannot always tell stores: here they are no matter
        self._sees_stores = not by_instructions
        self._slice_end = self._budget_end = NEVER  # instructions since boot
        super().__init__(ram_bytes, quantum, "native", exact=True, huge_pages=huge_pages, traced=traced)
        self._start_clock()
        self._prepare_to_go()
        if by_instructions:
            self._by_instructions = True
            self._tick_due = NEVER
            self.slice_left = quantum

    def _new_code_counter(self, stop: int) -> native.Counter:
        self._probe = probes.Probe(NEVER, stop, 0, NOWHERE, self._registers_at)
        self._probe.filter = ctypes.addressof(self._tables.steps)
        self._probe.end = self._probe.resume = NOWHERE
        self._probe.tick_at = NEVER
        muted = find_muted() if self._hooks_accesses else None
        handle = self._engine.handle.value or 0
        self._probe.muted = ctypes.addressof(self._unseen) if muted is None else handle + muted
        self._jumper = self._probe
        return self._probe

    def _prepare_to_go(self) -> None:
        """What GO_CODE is to know. From here on the fields of the Probe that matter most are reached through a view."""
        probe, lib = self._probe, self._engine.lib
        probe.handle = self._handle.value or 0
        probe.start, probe.read = native.address_of(lib.uc_emu_start), native.address_of(lib.uc_reg_read)
        probe.blocks, probe.chunk = native.data_of(self._block_counter), _CHUNK
        probe.guard = native.data_of(self._aborts) if self._aborts else 0
        self._probe_at = native.data_of(probe)
        data = (ctypes.c_ubyte * ctypes.sizeof(probe)).from_buffer(probe)
        self._view_of_probe: memoryview[int] = memoryview(data).cast("B").cast("Q")
        self._go = self._probes.go

    def _hook_instructions(self) -> None:
        engine = self._engine
        engine.hook(uc.HOOK_CODE, self._probes.step, native.data_of(self._probe))
        if not self._hooks_accesses:
            return
        self._callback = uc.MemoryHook(self._access_hook)
        stored = native.data_of(self._probe) + 8 * probes.word_of("stored")
        self._access_frame = probes.AccessFrame(
            native.address_of(self._callback),
            ctypes.addressof(self._tables.frames),
            probes.EVERYWHERE,
            stored if self._sees_stores else ctypes.addressof(self._unseen),
        )
        engine.hook(uc.HOOK_MEM_READ | uc.HOOK_MEM_WRITE, self._probes.access, native.data_of(self._access_frame))

    # -- what to stop for ---------------------------------------------------------------------------

    def mark(self, addresses: AbstractSet[int]) -> None:
        """Return "probe" before instructions at these addresses (and, by accident, at others)."""
        self._tables.mark_steps(addresses)

    def watch(self, ranges: tuple[Range, ...], crossing: bool = False) -> None:
        """Return "access" behind instructions that touch these ranges; `accesses` says how.

        With `crossing` also behind all accesses that reach into another page: it is not known where that is.
        """
        self._access_frame.limit = PAGE_SIZE if crossing else probes.EVERYWHERE
        self._ranges = ranges
        self._tables.mark_frames({
            pfn for r in ranges for pfn in range(r.start >> PAGE_SHIFT, (r.end - 1 >> PAGE_SHIFT) + 1)
        })  # fmt: skip

    def stop_outside(self, low: int, high: int) -> None:
        """Return "probe" before an instruction outside [low, high)."""
        self._probe.low, self._probe.length = low, high - low
        self._probe.mode |= probes.OUTSIDE

    def stop_above(self, stack: int) -> None:
        """Return "probe" before an instruction that sees RSP above `stack`."""
        self._probe.stack = stack
        self._probe.mode |= probes.ABOVE

    def stop_at_jump(self) -> None:
        """Return "probe" before an instruction that was jumped to."""
        self._probe.mode |= probes.JUMPED

    def stop_anywhere(self) -> None:
        """Undo the three before."""
        self._probe.mode = 0

    def record_into(self, address: int) -> None:
        """Leave a record of RECORD_BYTES of every instruction from this host address on; 0 ends it.

        Room for the whole instruction budget must be there.
        """
        self._probe.ring = address

    def recorded_to(self) -> int:
        """Where the next record would go."""
        return self._probe.ring

    # -- running ------------------------------------------------------------------------------------

    def set_instructions(self, count: int) -> None:
        """Set the clock of `instructions()`, to a moment at which no instruction is half done."""
        self._probe.count = count
        self._probe.last = NOWHERE

    def set_jumps(self, count: int) -> None:
        """Set the clock of `blocks()`. The next tick is to be set as well."""
        self._probe.jumps = count

    def instructions(self) -> int:
        """Instructions begun so far."""
        return self._view_of_probe[_COUNT]

    def set_instruction_budget(self, count: int | None) -> None:
        """As Machine's."""
        if self._by_instructions:
            self._budget_end = NEVER if count is None else self.instructions() + count
            self._set_left()
        else:
            self._view_of_probe[_LEFT] = NEVER if count is None else count

    def _set_left(self) -> None:
        """Stop where the budget or the slice ends."""
        self._view_of_probe[_LEFT] = max(0, min(self._budget_end, self._slice_end) - self.instructions())

    @property
    def slice_left(self) -> int:
        """Jumps, or instructions, until the next tick."""
        if self._by_instructions:
            return self._slice_end - self.instructions()
        return self._tick_due - self._jumper.jumps

    @slice_left.setter
    def slice_left(self, value: int) -> None:
        if self._by_instructions:
            self._slice_end = self.instructions() + value
            self._set_left()
        else:
            self._tick_due = self._jumper.jumps + value
        self._jumper.tick_at = min(self._tick_due, self._end)

    def _end_slice(self, error: int) -> StopReason | None:
        cut = super()._end_slice(error)
        if cut == "budget" and self._slice_end <= self.instructions() < self._budget_end:
            if self.on_block is not None:
                self.on_block(self.regs[RIP], 0)
            self._end_time_slice()
            return None
        return cut

    def run(self) -> StopReason:
        """As Machine.run, or "probe" or "access"."""
        if self.accesses:
            self.accesses.clear()
        if self._due or self._running or self._words[self._word_cr3] != self._loaded_cr3:
            return super().run()
        self._running = True
        try:
            end = self._go(self._probe_at)
            simple = end != probes.ODD and not self._by_instructions
            if simple and not self._odd and self._held is None and self._failure is None:
                self._view_of_probe[_HIT if end else _LEFT] = 0
                return "probe" if end else "budget"
            self._chunk = _CHUNK
            return self._end_slice(self._probe.error) or self._slices()
        finally:
            self._running = False

    def run_one(self) -> StopReason:
        """As `let_pass(RIP)` and `run` with a budget of one instruction."""
        view = self._view_of_probe
        view[_RESUME] = self.regs[RIP]
        if self._by_instructions:
            self.set_instruction_budget(1)
        else:
            view[_LEFT] = 1
        reason = self.run()
        if self._by_instructions:
            self.set_instruction_budget(None)
        else:
            view[_LEFT] = NEVER
        return reason

    def let_pass(self, address: int) -> None:
        """Do not stop before the instruction there if it is the next one, as it was stopped before already."""
        self._view_of_probe[_RESUME] = address

    @property
    def is_let_pass(self) -> bool:
        """True if the next instruction would not be stopped before."""
        return self._probe.resume == self.regs[RIP]

    @property
    def begun_last(self) -> int:
        """The address of the instruction that was begun last."""
        return self._probe.last if self._probe.last != NOWHERE else self._from

    @property
    def flush_due(self) -> Literal["", "tlb", "code"]:
        """What is emptied before user code goes on."""
        return "code" if self._due & FLUSH_CODE else "tlb" if self._due & FLUSH_TLB else ""

    @property
    def entered_from(self) -> int:
        """In a trap handler: the address of the instruction that was begun last."""
        return self._from

    def undo_syscall(self) -> None:
        """From a trap handler's `syscall`: as if the instruction had not been begun. It will be executed again."""
        regs, probe = self.regs, self._probe
        regs[RIP], regs[RCX], regs[R11] = self._from, probe.rcx, probe.r11
        self._uncount()
        self._unjump()

    def undo_exception(self) -> None:
        """From a trap handler's `exception`: the kernel will not see it, and the instruction will be executed again."""
        if self._taken_back:
            self._unjump()

    def _unjump(self) -> None:
        """The clock as it was before the instruction at RIP, which then counts as a jump again if it did."""
        probe = self._probe
        probe.end = self.regs[RIP] if probe.jumps == probe.before else NOWHERE
        probe.jumps = probe.before

    def _uncount(self) -> None:
        probe = self._probe
        probe.count -= 1
        probe.left += 1
        if self._held is not None:
            self._held += 1
        if probe.ring:
            probe.ring -= RECORD_BYTES

    def _settle(self, begun: bool) -> None:
        probe = self._probe
        self._from = probe.last
        probe.end = NOWHERE
        before = probe.count
        super()._settle(begun)
        self._taken_back = probe.count != before
        if self._taken_back:
            if self._held is not None:
                self._held += 1
            if probe.ring:
                probe.ring -= RECORD_BYTES

    def _prepare_syscall(self) -> None:
        end = self._probe.end  # what is behind a system call is no jump
        super()._prepare_syscall()
        self._probe.end = end

    def _page_fault(self, error: int, cr2: int) -> None:
        """A fetch fault comes before its instruction asks for the budget: where that is used up, it must wait."""
        probe = self._probe
        if error & PF_INSTR and not probe.left and probe.last != self.regs[RIP] and not self._stepper.active:
            probe.left = -1
            self._stop_engine(self._handle)
            return
        super()._page_fault(error, cr2)

    def _tick(self) -> None:
        self._settle(begun=False)
        super()._tick()

    def _cut_short(self) -> StopReason | None:
        probe = self._probe
        if self._held is not None and probe.left < 0:
            probe.left, self._held = self._held, None
            return "access"
        if probe.hit:
            hit, probe.hit = probe.hit, 0
            return "tick" if hit == probes.TICK else "probe"
        return super()._cut_short()

    def _access_hook(self, _engine: int, kind: int, physical: int, size: int, value: int) -> None:
        write = kind == uc.MEM_WRITE
        for r in self._ranges:
            if physical < r.end and r.start < physical + size and (r.writes if write else r.reads):
                break
        else:
            if (physical & PAGE_SIZE - 1) + size <= self._access_frame.limit:
                return
        probe = self._probe
        self.accesses.append(Access("write" if write else "read", physical, size, value, probe.last))
        if self._held is None:
            self._held = probe.left
        probe.left = 0  # stop before the next instruction


class ScheduledMachine(DebugMachine):
    """The machine of a schedule (mini_kernel.steer) without a debugger: its clock and its slices are the same."""

    _hooks_accesses = False  # nobody watches memory, which is half of the cost
    recyclable: ClassVar[bool] = True

    def __init__(
        self, ram_bytes: int, quantum: int = DEFAULT_QUANTUM, huge_pages: bool = True, traced: bool = False
    ) -> None:
        super().__init__(ram_bytes, quantum, huge_pages, by_instructions=True, traced=traced)

    def recycle(self) -> None:
        """As Machine's."""
        super().recycle()
        probe = self._probe
        probe.hit = probe.mode = probe.ring = 0
        probe.resume = self._from = NOWHERE
        self._budget_end = NEVER
        self._start_clock()


def scheduled_machine(ram_bytes: int, quantum: int, traced: bool) -> Machine:
    """A ScheduledMachine; where the host cannot have one, an exact machine, whose interleavings are others."""
    if probes.load() is None:
        return Machine(ram_bytes, quantum, exact=True, traced=traced)
    return ScheduledMachine(ram_bytes, quantum, traced=traced)
