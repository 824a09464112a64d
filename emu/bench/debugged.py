"""The debugger timed: steps, traces, going back, reports, recordings."""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter_ns

from emu.boot import Options, System
from emu.debug import BeforeFault, Debugger
from emu.debug.steps import steps
from emu.debug.why import why
from emu.errors import EmuError
from emu.program import Program
from emu.recording import Recorder
from emu.render.debug import step_lines, why_lines
from mini_kernel.fs.stream import BytesStream

_MEMORY = 64 << 20
_SECOND = 1e9


@contextmanager
def _debugged(elf: bytes) -> Generator[Debugger]:
    with System(Program("debugged.asm", "", elf, None), (), Options(memory=_MEMORY, debug=True), _streams()) as system:
        yield Debugger(system)


def _streams() -> tuple[BytesStream, BytesStream, BytesStream]:
    return BytesStream(), BytesStream(), BytesStream()


def step_rate(elf: bytes, count: int) -> float:
    """Single steps a second: one call, and one Stop, each."""
    with _debugged(elf) as d:
        began = perf_counter_ns()
        for _ in range(count):
            d.step()
        return count * _SECOND / (perf_counter_ns() - began)


def bulk_rate(elf: bytes, count: int) -> float:
    """Steps a second of many at once, each with its registers."""
    with _debugged(elf) as d:
        began = perf_counter_ns()
        steps(d, count)
        return count * _SECOND / (perf_counter_ns() - began)


def trace_rate(elf: bytes, count: int) -> float:
    """Lines of a full trace a second, steps included."""
    with _debugged(elf) as d:
        began = perf_counter_ns()
        lines = sum(1 for _ in step_lines(d, steps(d, count)))
        return lines * _SECOND / (perf_counter_ns() - began)


def back_ms(elf: bytes, count: int) -> float:
    """Milliseconds for that many steps back."""
    with _debugged(elf) as d:
        d.cont(limit=2 * count + count // 2)
        began = perf_counter_ns()
        d.back(count)
        return (perf_counter_ns() - began) / 1e6


def report_ms(elf: bytes) -> float:
    """Milliseconds from a fatal fault to the text that explains it."""
    with _debugged(elf) as d:
        stop = d.cont()
        if not isinstance(stop, BeforeFault):
            raise EmuError(f"bench: the program does not fault, but {type(stop).__name__}")
        why_lines(why(d), d.symbols())  # the disassembler is loaded by now
        began = perf_counter_ns()
        why_lines(why(d), d.symbols())
        return (perf_counter_ns() - began) / 1e6


def recording_factor(elf: bytes) -> float:
    """How many times as long a recorded run takes."""
    return _run_ns(elf, record=True) / _run_ns(elf, record=False)


def _run_ns(elf: bytes, record: bool) -> int:
    options = Options(memory=_MEMORY, record=record)
    with System(Program("debugged.asm", "", elf, None), (), options, _streams()) as system:
        if record:
            Recorder(system, ())
        began = perf_counter_ns()
        system.run()
        return perf_counter_ns() - began
