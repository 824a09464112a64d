"""`emu gdb`: boot a program and wait for gdb on a port of 127.0.0.1."""

import argparse
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from emu.cli.arguments import assembler_of, program_of
from emu.cli.system import load, options_of, recording_of, streams_of
from emu.errors import EmuError

if TYPE_CHECKING:
    from emu.boot import System
    from emu.gdb import Target


def gdb(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or one session with --once; the exit status."""
    from emu.gdb import Server

    with contextlib.ExitStack() as cleanup:
        target = _replayed(arguments) if arguments.replay is not None else _started(arguments, cleanup)
        cleanup.callback(target.close)
        try:
            server = Server(target, arguments.port)
        except OSError as error:
            print(f"emu: --port {arguments.port}: {error.strerror}", file=sys.stderr)
            return 2
        cleanup.callback(server.close)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(f"emu: gdb -ex 'target extended-remote 127.0.0.1:{server.port}'", file=sys.stderr, flush=True)
        server.serve(1 if arguments.once else None)
    return 0


def _started(arguments: argparse.Namespace, cleanup: contextlib.ExitStack) -> "Target":
    """A program, as the options say."""
    from emu.boot import System
    from emu.gdb import Target

    assembler, syntax = assembler_of(arguments)
    prog, args = program_of(arguments)
    with contextlib.ExitStack() as loading:
        program = load(prog, assembler, syntax, loading)
    options = options_of(arguments, debug=True)

    def boot(changed: list[str] | None) -> "System":
        streams = streams_of(arguments, cleanup)
        for stream in streams:
            cleanup.callback(stream.give_back)
        return System(program, args if changed is None else changed, options, streams)

    return Target(boot)


def _replayed(arguments: argparse.Namespace) -> "Target":
    """A recording, which has all that it needs."""
    from emu.gdb import Target
    from mini_kernel.fs.stream import FdStream

    recording = recording_of(arguments)

    def boot(changed: list[str] | None) -> "System":
        if changed is not None:
            raise EmuError("a recording is of a run with the arguments it has")
        return recording.boot(FdStream(1), FdStream(2))

    return Target(boot, recording)
