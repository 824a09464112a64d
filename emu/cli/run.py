"""`emu run`: boot, run, and say on stderr what is to be said."""

import argparse
import atexit
import contextlib
import dataclasses
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Final

from emu.cli.arguments import assembler_of, program_of
from emu.cli.files import directory, writable, writable_bytes
from emu.cli.system import load, options_of, streams_of
from emu.cli.terminal import TerminalGuard
from emu.errors import EmuError

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from emu.boot import Outcome, System
    from emu.coverage import ProcessCoverage
    from emu.program import Program
    from emu.recording import Recorder
    from emu.render.strace import Selection, Strace
    from emu.trace import Filter
    from mini_kernel.task import Task

_MAX_REPORTS: Final = 5


def run(arguments: argparse.Namespace) -> int:
    """Run a program as the options say; the exit status."""
    assembler, syntax = assembler_of(arguments)
    prog, args = program_of(arguments)
    gc.disable()  # until everything is imported: there is no garbage yet
    atexit.register(gc.freeze)  # what is left goes with the process: no last search for garbage
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(gc.enable)
        outputs = _Outputs(arguments, cleanup)
        interrupter = _Interrupter()
        cleanup.enter_context(interrupter)
        program = load(prog, assembler, syntax, cleanup)
        guard = TerminalGuard()
        system = cleanup.enter_context(_boot(arguments, program, args, cleanup, guard))
        strace = outputs.attach(system)
        trace = outputs.trace(system)
        outputs.cover(system)
        recorder = outputs.recorder(system, args)
        interrupter.system = system
        gc.enable()
        try:
            with guard:
                outcome = system.run()
        finally:
            if strace is not None:
                strace.close()
            if trace is not None:
                outputs.write_trace(trace)
        _report(system, outcome, arguments)
        outputs.statistics(system)
        outputs.save_coverage()
        if recorder is not None:
            outputs.save(recorder, outcome)
        return outcome.status


def _boot(
    arguments: argparse.Namespace,
    program: "Program",
    args: list[str],
    cleanup: contextlib.ExitStack,
    guard: TerminalGuard,
) -> "System":
    from emu.boot import System

    streams = streams_of(arguments, cleanup)
    guard.streams = streams
    chosen = _filter(arguments)
    options = options_of(arguments, record=arguments.record is not None)
    if arguments.coverage is not None or (chosen is not None and chosen.functions()):
        options = dataclasses.replace(options, traced=True)
    return System(program, args, options, streams)


class _Interrupter:
    """Ctrl-C while it is entered: ends the run where there is one, else raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.system: System | None = None

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_exc: object) -> None:
        self.system = None
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, signo: int, frame: "FrameType | None") -> None:
        system, self.system = self.system, None
        if system is None:
            raise KeyboardInterrupt  # a second time: do not wait for the run
        system.interrupt()


class _Outputs:
    """Where --stats, --stats-json and --strace go. Everything that can be wrong with them is, before the run."""

    def __init__(self, arguments: argparse.Namespace, cleanup: contextlib.ExitStack) -> None:
        self._table: bool = arguments.stats
        self._recording: IO[bytes] | None = None
        if arguments.record is not None:
            self._recording = cleanup.enter_context(writable_bytes("--record", arguments.record))
        self._coverage: Path | None = None
        if arguments.coverage is not None:
            self._coverage = directory("--coverage", arguments.coverage)
        self._covered: ProcessCoverage | None = None
        self._trace: IO[str] | None = None
        self._filter = _filter(arguments)
        if arguments.trace_out is not None:
            self._trace = cleanup.enter_context(writable("--trace", arguments.trace_out))
        self._json: IO[str] | None = None
        self._lines: IO[str] = sys.stderr
        self._selection: Selection | None = None
        if arguments.stats_json is not None:
            self._json = cleanup.enter_context(writable("--stats-json", arguments.stats_json))
        self._where: bool = arguments.strace_where
        if arguments.strace or self._where or arguments.trace is not None or arguments.strace_out is not None:
            self._selection = _selection(arguments.trace or "all")
        if arguments.strace_out is not None:
            self._lines = cleanup.enter_context(writable("--strace-out", arguments.strace_out))

    def attach(self, system: "System") -> "Strace | None":
        """Listen to a booted system, if that is wanted."""
        if self._selection is None:
            return None
        from emu.render.strace import Strace

        strace = Strace(self._lines.write, self._selection, _where(system) if self._where else None)
        strace.started(system.task(1), system.path, system.argv, len(system.options.environment))
        system.observe(strace)
        return strace

    def trace(self, system: "System") -> "Callable[[], str] | None":
        """What gives the text of the trace in the end, if one is wanted: a time line, for a file called .json."""
        if self._trace is None:
            return None
        if self._trace.name.endswith(".json"):
            from emu.trace.timeline import Timeline

            timeline = Timeline(system.kernel.clock.now_ns, system.task(1), self._filter)
            system.observe(timeline)
            return timeline.text
        from emu.render import trace

        recorder = trace.recorder(system, self._filter or "")

        def text() -> str:
            recorder.close()
            return "".join(f"{line}\n" for line in trace.lines(recorder.events))

        return text

    def write_trace(self, text: "Callable[[], str]") -> None:
        """Write it."""
        assert self._trace is not None
        self._trace.write(text())

    def cover(self, system: "System") -> None:
        """Count what runs, if that is wanted."""
        if self._coverage is not None:
            from emu.coverage import ProcessCoverage

            self._covered = ProcessCoverage(system)

    def save_coverage(self) -> None:
        """Write it."""
        if self._covered is None or self._coverage is None:
            return
        try:
            lines = self._covered.write(self._coverage)
        except OSError as error:
            raise EmuError(f"--coverage {error.filename}: {error.strerror}") from None
        sys.stderr.write("".join(f"{line}\n" for line in lines))

    def recorder(self, system: "System", args: list[str]) -> "Recorder | None":
        """What keeps the recording, if one is wanted."""
        if self._recording is None:
            return None
        from emu.recording import Recorder

        return Recorder(system, args)

    def save(self, recorder: "Recorder", outcome: "Outcome") -> None:
        """Write the recording."""
        assert self._recording is not None
        recorder.save(self._recording, outcome)

    def statistics(self, system: "System") -> None:
        """Print and write the ledger."""
        if self._table:
            from emu.render.stats import stats_table

            sys.stderr.write(stats_table(system.stats()))
        if self._json is not None:
            import json

            json.dump(system.stats(), self._json, indent=1)
            self._json.write("\n")


def _filter(arguments: argparse.Namespace) -> "Filter | None":
    """What of a trace is wanted; None without one."""
    if arguments.trace_out is None:
        if arguments.trace_filter:
            raise EmuError("--trace-filter needs --trace FILE")
        return None
    from emu.trace import Filter

    chosen = Filter(arguments.trace_filter)
    if arguments.trace_out.endswith(".json"):
        from emu.trace.timeline import checked

        return checked(chosen)
    return chosen


def _where(system: "System") -> "Callable[[Task, int], str]":
    """Tells where in the program a task is that runs: `loop+0x4 at prog.asm:12 [0x401004]`."""
    from mini_kernel.x86 import RIP

    def where(task: "Task", back: int) -> str:
        rip = system.kernel.cpu.regs[RIP] - back
        return f"{system.symbols.of(task).place(rip) or ''} [{rip:#x}]".lstrip()

    return where


def _selection(text: str) -> "Selection":
    from emu.render.strace import Selection

    return Selection(text)


# -- what is said at the end -------------------------------------------------------------------------


def _report(system: "System", outcome: "Outcome", arguments: argparse.Namespace) -> None:
    """Fault reports, and why the run ended if the guest did not end it."""
    if system.oom_records:
        from emu.render.oom import oom_report

        sys.stderr.write("".join(map(oom_report, system.oom_records[:_MAX_REPORTS])))
        _count_more(system.kernel.oom.kills, "process", "es", " killed for memory")
    if system.records:
        sys.stderr.write("".join(_fault_reports(system)))
        _count_more(system.kernel.fatal_faults, "fault", "s")
    if outcome.ending == "deadlock":
        print("emu: deadlock: every process waits for something that cannot happen", file=sys.stderr)
    elif outcome.ending == "timeout":
        print(f"emu: stopped after {arguments.timeout:g} s (--timeout)", file=sys.stderr)
    elif outcome.ending == "max-insns":
        print(f"emu: stopped after {arguments.max_insns} instructions (--max-insns)", file=sys.stderr)
    elif outcome.ending == "interrupted":
        print("emu: interrupted", file=sys.stderr)
    if outcome.ending != "exited":
        from emu.render.tasks import task_lines

        sys.stderr.write("".join(f"  {line}\n" for line in task_lines(system)))


def _fault_reports(system: "System") -> Iterator[str]:
    from emu.render.fault import fault_report

    for record in system.records[:_MAX_REPORTS]:
        yield fault_report(record, system.symbols.at(record.exe_path))


def _count_more(number: int, what: str, plural: str, end: str = "") -> None:
    """Say how many reports were left out."""
    more = number - _MAX_REPORTS
    if more > 0:
        print(f"and {more} more {what}{'' if more == 1 else plural}{end}", file=sys.stderr)
