"""The Python interface: run a program and get a Result, or boot it and look around.

`emu.run("prog.asm", stdin=b"input").stdout` is what the program wrote; `with emu.boot("prog.asm") as system:` gives a
System before its first instruction.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emu.asm import Syntax
from emu.boot import DEFAULT_ENVIRONMENT, DEFAULT_MEMORY, Options, Outcome, System
from emu.program import AssemblerName, Program, load_program
from emu.render.fault import fault_report
from emu.render.strace import Selection, Strace
from emu.symbols import GuestSymbols
from mini_kernel.fs.stream import BytesStream
from mini_kernel.observe import FaultRecord
from mini_kernel.oom import OomRecord

#: What `run` and `boot` take: a path to source or to a static ELF file, or a program that is loaded already.
Source = str | os.PathLike[str] | Program


@dataclass(frozen=True)
class Result:
    """What a run left behind.

    status    as a shell sees it: the guest's, 128 + signal, 124 for a spent limit or a deadlock
    ending    "exited", "deadlock", "timeout", "max-insns" or "interrupted"
    stdout    what the guest wrote, byte for byte; stderr likewise
    ledger    what `emu run --stats-json` writes: total, processes, frames
    events    strace lines, in order; empty unless asked for
    records   every exception that killed a process, in order (the first 1,000)
    kills     every process that was killed because memory ran out, and why, in order (the first 64)
    symbols   the names in the programs of the guest, if something is to be reported
    """

    status: int
    ending: str
    stdout: bytes
    stderr: bytes
    ledger: Mapping[str, Any] = field(repr=False)
    events: tuple[str, ...] = field(repr=False)
    records: tuple[FaultRecord, ...] = field(repr=False)
    kills: tuple[OomRecord, ...] = field(repr=False)
    program: Program = field(repr=False)
    symbols: GuestSymbols | None = field(default=None, repr=False, compare=False)

    def fault_report(self) -> str:
        """The fault reports in text, "" if nothing was killed by an exception."""
        return "".join(
            fault_report(record, self.symbols and self.symbols.at(record.exe_path)) for record in self.records
        )


def boot(
    prog: Source,
    args: Sequence[str] = (),
    *,
    stdin: bytes = b"",
    fork: str = "classic",
    memory: int = DEFAULT_MEMORY,
    seed: int = 0,
    root: str | None = None,
    root_writable: bool = False,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    thp: str = "never",
    max_insns: int | None = None,
    timeout: float | None = None,
    exact: bool = True,
    schedule: int | None = None,
    traced: bool = False,
    debug: bool = False,
    files: Mapping[str, bytes] | None = None,
    assembler: AssemblerName = "keystone",
    syntax: Syntax = "intel",
    kind: type[System] = System,
) -> System:
    """Boot a program, ready for its first instruction. Close the System, or use it as a context manager.

    `args` are the guest's arguments behind argv[0]; `env` adds to the default environment; `files` are put into the
    guest's file system (path -> content); `schedule` is the seed of an interleaving (mini_kernel.steer.Schedule);
    `exact` counts instructions, which `step` needs, and costs three quarters of the speed of straight computation;
    `traced` is for emu.coverage, `debug` for emu.Debugger; `kind` is a class derived from System, to make one of that.
    The other options are those of `emu run`. Output is kept
    (`system.stdout`). Raises ProgramError, AsmError, EmuError.
    """
    program = prog if isinstance(prog, Program) else _load(prog, assembler, syntax)
    options = Options(
        memory=memory,
        fork=fork,
        seed=seed,
        root=root,
        root_writable=root_writable,
        check=check,
        thp=thp,
        max_insns=max_insns,
        timeout=timeout,
        exact=exact,
        schedule=schedule,
        traced=traced,
        debug=debug,
        environment={**DEFAULT_ENVIRONMENT, **(env or {})},
    )
    system = kind(program, args, options, (BytesStream(stdin), BytesStream(), BytesStream()))
    for path, content in (files or {}).items():
        system.put_file(path, content)
    return system


def run(
    prog: Source,
    args: Sequence[str] = (),
    *,
    stdin: bytes = b"",
    fork: str = "classic",
    strace: str | bool = False,
    exact: bool = False,
    **options: Any,
) -> Result:
    """Run a program to its end. `options` are those of `boot`.

    `strace` collects strace lines in `Result.events`: True for all system calls, or a set as `-e` takes it.
    Raises ProgramError, AsmError, EmuError; a guest that fails is a Result like any other.
    """
    with boot(prog, args, stdin=stdin, fork=fork, exact=exact, **options) as system:
        pieces: list[str] = []
        observer = Strace(pieces.append, Selection("all" if strace is True else strace)) if strace else None
        if observer is not None:
            observer.started(system.task(1), system.path, system.argv, len(system.options.environment))
            system.observe(observer)
        outcome = system.run()
        if observer is not None:
            observer.close()
        return result(system, outcome, tuple("".join(pieces).splitlines()))


def _load(prog: str | os.PathLike[str], assembler: AssemblerName, syntax: Syntax) -> Program:
    return load_program(str(Path(prog)) if prog != "-" else "-", assembler=assembler, syntax=syntax)


def result(system: System, outcome: Outcome, events: tuple[str, ...] = ()) -> Result:
    """What a system that has run left behind."""
    return Result(
        status=outcome.status,
        ending=outcome.ending,
        stdout=system.stdout,
        stderr=system.stderr,
        ledger=system.stats(),
        events=events,
        records=tuple(system.records),
        kills=tuple(system.oom_records),
        program=system.program,
        symbols=system.symbols if system.records else None,
    )
