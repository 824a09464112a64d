"""A system under a debugger, as it stands: when, who, where, and what the code there is."""

from functools import lru_cache
from typing import Final

from emu import disasm
from emu.boot import System
from emu.debug.events import Time
from emu.debug.plan import DebugError
from emu.debug.tap import Tap
from emu.machine import DebugMachine
from emu.peek import peek
from emu.symbols import SourceLine, Symbols
from mini_kernel.mm import uaccess
from mini_kernel.task import Task
from mini_kernel.x86 import RSP

_decoded: Final = lru_cache(1024)(disasm.one)  # 100 us with all the operands


class Sight:
    """The system and its parts."""

    def __init__(self, system: System) -> None:
        """Raises DebugError for a system that was not made with Options(debug=True)."""
        if not isinstance(system.machine, DebugMachine):
            raise DebugError("the system was not booted for debugging")
        self.system = system
        self.kernel = system.kernel
        self.machine = system.machine
        self.tap = Tap(system, system.machine)
        self._symbols = system.symbols.at(system.exe_path)

    @property
    def now(self) -> Time:
        """The present moment."""
        return self.tap.now()

    @property
    def current(self) -> Task | None:
        """The task that has the CPU; None when nothing can run any more."""
        return self.kernel.sched.current

    def symbols(self, task: Task | None = None) -> Symbols:
        """The names of the program that a task runs; of the one that was booted where nothing runs any more."""
        task = task or self.current
        return self.system.symbols.of(task) if task is not None else self._symbols

    def line_at(self, address: int) -> SourceLine | None:
        """The source line of an instruction of the current task."""
        return self.symbols().line(address)

    def extent_at(self, address: int) -> tuple[int, int] | None:
        """The instructions around it of the same line."""
        return self.symbols().extent(address)

    def decode(self, address: int) -> disasm.Instruction | None:
        """The instruction at an address of the current task."""
        task = self.current
        if task is None or task.user_mm is None:
            return None
        data = uaccess.probe(task.user_mm, address, disasm.MAX_INSTRUCTION)
        if len(data) < disasm.MAX_INSTRUCTION:
            data = peek(task.user_mm, address, disasm.MAX_INSTRUCTION)  # of a page that is not there yet
        return _decoded(data, address)

    def return_address(self) -> int:
        """What is on top of the current task's stack; 0 if there is nothing."""
        task = self.current
        if task is None or task.user_mm is None:
            return 0
        return int.from_bytes(uaccess.probe(task.user_mm, self.machine.regs[RSP], 8), "little")
