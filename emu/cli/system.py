"""From the options that every command with a program has, a system's own."""

import argparse
import contextlib
import os
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from emu.cli.files import readable, warn
from emu.errors import EmuError

if TYPE_CHECKING:
    from emu.boot import Options
    from emu.program import Program
    from emu.recording import Recording
    from mini_kernel.fs.stream import FdStream


def load(
    prog: str, assembler: Any, syntax: Any, cleanup: contextlib.ExitStack, modules: Iterable[str] = ("emu.boot",)
) -> "Program":
    """The program. Its assembler starts before the modules that are needed next are imported: the two overlap."""
    from emu.program import is_source, load_program, new_assembler

    worker = None
    if assembler == "keystone" and is_source(prog):
        worker = cleanup.enter_context(new_assembler())
        worker.start()
    for name in modules:
        import_module(name)
    return load_program(prog, assembler=assembler, syntax=syntax, worker=worker, warn=warn)


def recording_of(arguments: argparse.Namespace) -> "Recording":
    """What --replay names. Raises ArgumentTypeError if there is a PROG besides."""
    if arguments.command_line:
        raise argparse.ArgumentTypeError("--replay FILE has its own program: leave PROG out")
    from emu.recording import Recording

    return Recording(arguments.replay)


def options_of(arguments: argparse.Namespace, debug: bool = False, record: bool = False) -> "Options":
    """The system that the operator wants; `debug`: on a machine for the debugger; `record`: on one that is recorded."""
    from emu.boot import DEFAULT_ENVIRONMENT, DEFAULT_MEMORY, Options

    root = arguments.root
    if record and root is not None:
        from emu.recording import RecordedTree

        try:
            root = RecordedTree(root)
        except OSError as error:
            raise EmuError(f"--root {root}: {error.strerror}") from None
    return Options(
        memory=DEFAULT_MEMORY if arguments.mem is None else arguments.mem,
        fork=arguments.fork,
        seed=arguments.seed,
        root=root,
        cwd=arguments.cwd,
        root_writable=arguments.root_writable,
        check=arguments.check,
        thp=arguments.thp,
        max_insns=arguments.max_insns,
        timeout=arguments.timeout,
        schedule=arguments.schedule,
        debug=debug,
        record=record,
        environment={**DEFAULT_ENVIRONMENT, **dict(arguments.env)},
    )


def streams_of(arguments: argparse.Namespace, cleanup: contextlib.ExitStack) -> "tuple[FdStream, FdStream, FdStream]":
    """Standard input, from --stdin if that is given, output and error."""
    from mini_kernel.fs.stream import FdStream

    stdin = 0
    if arguments.stdin is not None:
        stdin = readable("--stdin", arguments.stdin)
        cleanup.callback(os.close, stdin)
    return FdStream(stdin), FdStream(1), FdStream(2)
