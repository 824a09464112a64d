"""What is shown after a stop: why it is one, and around it registers, code, stack and the fault that stands before."""

from collections.abc import Callable, Iterable
from typing import Final

from emu.debug import Debugger, Stop
from emu.debug.frames import backtrace
from emu.debug.points import Breakpoint
from emu.debug.state import Registers, code, code_around, registers, stack, tasks
from emu.debug.stops import BeforeFault
from emu.debug.why import why
from emu.render import debug as text
from mini_kernel.x86 import VEC_PF

SECTIONS: Final = ("registers", "code", "stack", "backtrace", "why")
ALL_SECTIONS: Final = ("registers", "code", "stack", "backtrace", "tasks", "why")
_WIDTH: Final = 100
_FRAMES: Final = 6
Before = tuple[int, Registers] | None


def short_lines(d: Debugger, stops: Iterable[Stop]) -> list[str]:
    """The reasons, and the instruction that comes next with its source line."""
    symbols = d.symbols() if d.current is not None else None
    rows: list[str] = []
    for stop in stops:
        rows += [line for line in text.stop_lines(stop, symbols) if line not in rows]
    if d.current is None:
        return rows
    here = text.code_lines(code(d, count=1))
    return [*rows, *(line for line in here if not line.endswith(":"))]


def context_lines(d: Debugger, sections: Iterable[str], before: Before) -> list[str]:
    """The sections, a heading above each; nothing when nothing runs."""
    if d.current is None:
        return []
    rows: list[str] = []
    for name in sections:
        lines = _SECTIONS[name](d, before)
        if lines:
            rows += [f"-- {name} ".ljust(_WIDTH, "-"), *lines]
    return rows


def _registers(d: Debugger, before: Before) -> list[str]:
    tid = d.current.tid if d.current else 0
    old = before[1] if before is not None and before[0] == tid else None
    return text.register_lines(registers(d), old, d.symbols())


def _code(d: Debugger, _before: Before) -> list[str]:
    points = [p.address for p in d.points.active(Breakpoint)]
    return text.code_lines(code_around(d, 3, 6), points)


def _stack(d: Debugger, _before: Before) -> list[str]:
    return text.stack_lines(stack(d, 6))


def _backtrace(d: Debugger, _before: Before) -> list[str]:
    """Nothing in a function that nobody called."""
    found = backtrace(d, limit=_FRAMES)
    return text.backtrace_lines(found) if len(found.frames) > 1 or found.broken else []


def _tasks(d: Debugger, _before: Before) -> list[str]:
    return text.task_lines(tasks(d))


def _why(d: Debugger, _before: Before) -> list[str]:
    stands = any(isinstance(s, BeforeFault) and s.vector == VEC_PF for s in d.stops)
    return text.why_lines(why(d), d.symbols()) if stands else []


_SECTIONS: Final[dict[str, Callable[[Debugger, Before], list[str]]]] = {
    "registers": _registers,
    "code": _code,
    "stack": _stack,
    "backtrace": _backtrace,
    "tasks": _tasks,
    "why": _why,
}
