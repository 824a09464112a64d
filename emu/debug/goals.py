"""What a step is to reach, as conditions that the machine checks before every instruction of one task.

A goal belongs to a task. While others run it is disarmed: their instructions neither count nor stop anything.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel.x86 import RIP, RSP

if TYPE_CHECKING:
    from emu.debug.reasons import Reasons
    from emu.machine import DebugMachine

_RETURNS: Final = frozenset(("ret", "retf", "iretq"))
_STRINGS: Final = frozenset(("movs", "stos", "lods", "scas", "cmps"))


ANYONE: Final = -1


class Goal:
    """Base: never reached. `tid` may be ANYONE."""

    def __init__(self, tid: int) -> None:
        self.tid = tid

    def is_of(self, tid: int) -> bool:
        """True if that task has it."""
        return self.tid in (tid, ANYONE)

    @property
    def addresses(self) -> frozenset[int]:
        """Instructions to look at."""
        return frozenset()

    def budget(self) -> int | None:
        """Instructions of the task after which to look; None: no matter."""
        return None

    def ran(self, instructions: int) -> None:
        """The task has begun this many."""

    def arm(self, machine: "DebugMachine") -> None:
        """The task has the CPU."""

    def interrupted(self, rip: int, stack: int) -> None:
        """The task was here when it got a signal, and comes back here if that has a handler."""

    def reached(self, d: "Reasons") -> bool:
        """Asked before an instruction of the task that was to be looked at."""
        del d
        return False


class Count(Goal):
    """So many instructions."""

    def __init__(self, tid: int, count: int) -> None:
        super().__init__(tid)
        self.left = count

    def budget(self) -> int:
        return self.left

    def ran(self, instructions: int) -> None:
        self.left -= instructions

    def reached(self, d: "Reasons") -> bool:
        return self.left <= 0


class Arrive(Goal):
    """At an address, with the stack back where it was (for a return address), or anywhere."""

    def __init__(self, tid: int, address: int, stack: int = 0) -> None:
        super().__init__(tid)
        self._address = address
        self._stack = stack

    @property
    def addresses(self) -> frozenset[int]:
        return frozenset((self._address,))

    def reached(self, d: "Reasons") -> bool:
        regs = d.machine.regs
        return regs[RIP] == self._address and regs[RSP] >= self._stack


class Leave(Goal):
    """Away from a range of addresses: behind a repeated string instruction."""

    def __init__(self, tid: int, low: int, high: int) -> None:
        super().__init__(tid)
        self._low, self._high = low, high

    def arm(self, machine: "DebugMachine") -> None:
        machine.stop_outside(self._low, self._high)

    def reached(self, d: "Reasons") -> bool:
        return not self._low <= d.machine.regs[RIP] < self._high


class Jump(Goal):
    """At an instruction that was jumped to: the start of the next stretch of straight code."""

    def arm(self, machine: "DebugMachine") -> None:
        machine.stop_at_jump()

    def reached(self, d: "Reasons") -> bool:
        return True


class Return(Goal):
    """Behind a `ret` that takes the stack above where it is now: the function's own, not one of those it calls."""

    def __init__(self, tid: int, stack: int) -> None:
        super().__init__(tid)
        self._stack = stack

    def arm(self, machine: "DebugMachine") -> None:
        machine.stop_above(self._stack)

    def reached(self, d: "Reasons") -> bool:
        stack = d.machine.regs[RSP]
        if stack <= self._stack:
            return False
        last = d.decode(d.machine.begun_last)
        if last is not None and last.mnemonic.split()[-1] in _RETURNS:
            return True
        self._stack = stack  # locals given back
        d.rearm()
        return False


class Line(Goal):
    """At the beginning of another source line. Functions without lines, or all if `over`, are run through."""

    def __init__(self, tid: int, d: "Reasons", over: bool) -> None:
        super().__init__(tid)
        self._over = over
        self._line = d.line_at(d.machine.regs[RIP])
        self._low, self._high = d.extent_at(d.machine.regs[RIP]) or (0, 0)
        self._back: tuple[int, int] | None = None  # return address and stack of a function that is run through

    @property
    def addresses(self) -> frozenset[int]:
        return frozenset((self._back[0],)) if self._back else frozenset()

    def interrupted(self, rip: int, stack: int) -> None:
        self._back = self._back or (rip, stack)  # handlers are run through

    def arm(self, machine: "DebugMachine") -> None:
        if self._back is None:
            machine.stop_outside(self._low, self._high)

    def reached(self, d: "Reasons") -> bool:
        rip, stack = d.machine.regs[RIP], d.machine.regs[RSP]
        if self._back is not None:
            if (rip, stack) < self._back or rip != self._back[0] or stack < self._back[1]:
                return False
            self._back = None
        extent, line = d.extent_at(rip), d.line_at(rip)
        if self._low <= rip < self._high:
            d.rearm()
            return False
        if self._called(d) and (self._over or extent is None):
            self._back = d.return_address(), stack + 8
            d.rearm()
            return False
        if extent is None or (extent[0] == rip and line != self._line):
            return True
        self._low, self._high = extent  # the same line elsewhere, or the middle of one: on to its end
        d.rearm()
        return False

    @staticmethod
    def _called(d: "Reasons") -> bool:
        """True at the first instruction of a function."""
        last = d.decode(d.machine.begun_last)
        return last is not None and last.mnemonic == "call" and d.machine.regs[RIP] != last.end


def over(d: "Reasons", tid: int) -> Goal | None:
    """Behind the next instruction, with what it calls or repeats; None if it does neither: one step does it."""
    regs = d.machine.regs
    rip = regs[RIP]
    instruction = d.decode(rip)
    if instruction is not None:
        words = instruction.mnemonic.split()
        if words[-1] == "call":
            return Arrive(tid, instruction.end, regs[RSP])
        if len(words) > 1 and words[-1][:4] in _STRINGS:
            return Leave(tid, rip, instruction.end)
    return None
