"""`emu debug`: boot a program and stand before its first instruction; commands from files, options, a terminal."""

import argparse
import contextlib
import gc
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from emu.cli.arguments import assembler_of, program_of
from emu.cli.failure import internal_text
from emu.cli.prompt import at_terminal, reader
from emu.cli.system import load, options_of, recording_of, streams_of
from emu.cli.terminal import TerminalGuard
from emu.errors import EmuError

if TYPE_CHECKING:
    from types import FrameType

    from emu.boot import Streams, System
    from emu.cli.tui import DebugApp
    from emu.prompt import Answer
    from emu.recording import Recording


def debug(arguments: argparse.Namespace) -> int:
    """One session; 1 if a command of a batch failed."""
    gc.disable()  # until everything is imported: there is no garbage yet
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(gc.enable)
        session = _Session(arguments, cleanup)
        cleanup.callback(session.shell.close)
        gc.enable()
        session.scripts(arguments.scripts)
        if arguments.batch:
            return int(session.failed)
        if arguments.tui:
            session.full_screen()
        else:
            session.converse()
    return 0


class _Session:
    """The shell, and the terminal that it shares with the guest."""

    def __init__(self, arguments: argparse.Namespace, cleanup: contextlib.ExitStack) -> None:
        self._streams: Streams | None = None
        self._interactive = sys.stdin.isatty() and not arguments.batch
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._reads_commands = not arguments.batch and not sys.stdin.isatty() and arguments.stdin is None
        self._tui: bool = arguments.tui
        self._stdin = arguments.stdin is not None
        self._timeout: float | None = arguments.timeout  # of each command
        self.failed = False
        if self._tui:
            _app_type()  # before anything is done, if it cannot be

        if arguments.replay is not None:
            from emu.prompt import Shell

            recording = recording_of(arguments)
            self.shell = Shell(lambda changed: self._replay(recording, changed), self._sections(), recording)
            return
        assembler, syntax = assembler_of(arguments)
        prog, args = program_of(arguments)
        modules = [
            "emu.boot",
            "emu.prompt",
            *(["prompt_toolkit"] if self._interactive and not self._tui and at_terminal() else []),
        ]
        with contextlib.ExitStack() as loading:
            program = load(prog, assembler, syntax, loading, modules)
        from emu.boot import System
        from emu.prompt import Shell

        options = options_of(arguments, debug=True)

        def boot(changed: list[str] | None) -> "System":
            self._streams = self._given(streams_of(arguments, cleanup))
            return System(program, args if changed is None else changed, options, self._streams)

        self.shell = Shell(boot, self._sections())

    def _sections(self) -> tuple[str, ...]:
        """What is shown after a stop."""
        from emu.prompt.context import SECTIONS

        return SECTIONS if self._interactive else ()

    def _replay(self, recording: "Recording", changed: list[str] | None) -> "System":
        """The system of a recording; its input is in there."""
        from mini_kernel.fs.stream import FdStream

        if changed is not None:
            raise EmuError("a recording is of a run with the arguments it has")
        self._streams = self._given((FdStream(0), FdStream(1), FdStream(2)))
        return recording.boot(*self._streams[1:])

    def _given(self, streams: "Streams") -> "Streams":
        """The guest's input is empty where it would take the commands away; the full screen shows its output."""
        from mini_kernel.fs.stream import BytesStream

        if self._tui:
            return (streams[0] if self._stdin else BytesStream(), BytesStream(), BytesStream())
        return (BytesStream(), *streams[1:]) if self._reads_commands else streams

    # -- where commands come from -------------------------------------------------------------------

    def scripts(self, scripts: Iterable[tuple[str, str]]) -> None:
        """What -x and -ex say, in their order."""
        from emu.prompt.errors import PromptError
        from emu.prompt.scripts import lines_of, play

        for option, text in scripts:
            try:
                lines = lines_of(text) if option == "-x" else [text]
            except PromptError as error:
                self._failed(f"error: {error}")
                continue
            answers = play(self.shell, text, lines) if option == "-x" else map(self.shell.execute, lines)
            while not self.shell.done and (answer := self._guarded(lambda answers=answers: next(answers, None))):
                self._print(answer)

    def converse(self) -> None:
        """Commands from the user, until `quit` or the end of input."""
        read = reader(self.shell.complete)
        if self._interactive:
            self.shell.hints = True
            program = self.shell.d.system.program.name
            print(f"{program} is at its first instruction; `help` lists the commands.", flush=True)
        while not self.shell.done:
            try:
                line = read(self.shell.prompt)
            except KeyboardInterrupt:
                self.shell.end_block(keep=False)
                continue
            except EOFError:
                if self.shell.end_block(keep=True):
                    continue
                break
            answer = self._guarded(lambda line=line: self.shell.execute(line))
            if answer is not None:
                self._print(answer)

    def full_screen(self) -> None:
        """The same with panes around it."""
        from mini_kernel.fs.stream import BytesStream

        written = [stream for stream in (self._streams or ())[1:] if isinstance(stream, BytesStream)]
        _app_type()(self.shell, written).run()

    # -- running them -------------------------------------------------------------------------------

    def _guarded(self, run: "Callable[[], Answer | None]") -> "Answer | None":
        """Run a command with the terminal as the guest wants it; Ctrl-C stops it. A failure of ours is a line."""
        from mini_kernel.fs.stream import FdStream

        guard = TerminalGuard()
        guard.streams = tuple(s for s in self._streams or () if isinstance(s, FdStream))
        before = signal.signal(signal.SIGINT, self._interrupt)
        timer = threading.Timer(self._timeout, self._interrupt, (0, None)) if self._timeout else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            with guard:
                for stream in guard.streams:
                    stream.take_again()
                return run()
        except KeyboardInterrupt:
            self._failed("error: interrupted")
        except Exception as error:
            self._failed(internal_text(error))
        finally:
            if timer is not None:
                timer.cancel()
            signal.signal(signal.SIGINT, before)
        return None

    def _interrupt(self, _signo: int, _frame: "FrameType | None") -> None:
        self.shell.d.interrupt()

    # -- what is said -------------------------------------------------------------------------------

    def _print(self, answer: "Answer") -> None:
        self.failed |= answer.failed
        lines = map(self._paint, self._fitted(answer.lines))
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def _fitted(self, lines: list[str]) -> list[str]:
        """As wide as the terminal, if a user sits there."""
        if not (self._interactive and sys.stdout.isatty()):
            return lines
        from emu.prompt.fit import fit

        width = shutil.get_terminal_size().columns
        return [row for line in lines for row in fit(line, width)]

    def _paint(self, line: str) -> str:
        if not self._colours:
            return line
        from emu.prompt.colour import paint

        return paint(line)

    def _failed(self, line: str) -> None:
        self.failed = True
        print(self._paint(line), flush=True)


def _app_type() -> "type[DebugApp]":
    """Raises EmuError where Textual is not installed."""
    try:
        from emu.cli.tui import DebugApp
    except ModuleNotFoundError as error:
        raise EmuError(f"--tui needs {error.name}: pip install 'cr3lab[tui]'") from None
    return DebugApp
