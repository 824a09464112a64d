"""The debugger's prompt without a terminal: a command in, lines out.

A Shell has one debugged system, and what the user is about: the task looked at, marks, values, commands of points.
What is wrong with a command is one line that begins with `error: `; nothing that is typed raises anything.
"""

import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from emu.boot import System
from emu.debug import Debugger, Stop, Time
from emu.debug.frames import backtrace
from emu.debug.points import Point
from emu.debug.runner import ReplayInterrupted
from emu.debug.state import Registers, registers, task_of
from emu.errors import EmuError
from emu.prompt.context import SECTIONS, context_lines, short_lines
from emu.prompt.errors import PromptError
from emu.prompt.expression import evaluate
from emu.prompt.registry import COMMANDS, Command, commands, find
from emu.prompt.scope import TaskScope, register_names
from emu.render import debug as text_of
from emu.symbols import Symbols
from emu.unwind import Backtrace, Frame
from mini_kernel.task import State, Task
from mini_kernel.x86 import RIP

if TYPE_CHECKING:
    from emu.recording import Recording

PROMPT = "(emu) "
MAX_FRAMES = 10_000
_MAX_DEPTH = 20  # of files and commands of points within each other
_WORD = re.compile(r"\s*([^\s/*]+)\s*(.*)", re.S)


class Answer(NamedTuple):
    """What a command came to."""

    lines: list[str]
    failed: bool = False


class Shell:
    """One session at the prompt.

    d          the debugger of the present system
    selected   tid of the task that is looked at; None: the one that has the CPU
    frame_number    of its frames that is looked at: 0 is the innermost
    context    sections shown after a stop; empty: the stop alone
    marks      moments with names
    values     what `print` printed: $1, $2, ...
    variables  what `set $name = VALUE` made
    arguments  of `set args`: what `run` gives the program if it is not told otherwise
    list_size  lines that `list` shows
    displays   expressions that are shown after each stop, by number: (format, text)
    done       the user wants to leave
    traced     commands of files are shown before they are run
    hints      there is somebody to be told what can be typed
    """

    def __init__(
        self,
        boot: Callable[[list[str] | None], System],
        context: Iterable[str] = SECTIONS,
        recording: "Recording | None" = None,
    ) -> None:
        """`boot` makes the system, with other arguments if they are given; that of `recording`, if it is a replay.

        Raises EmuError.
        """
        self._boot = boot
        self._recording = recording
        self.d = Debugger(boot(None), recording)
        self.context = tuple(context)
        self.selected: int | None = None
        self.frame_number = 0
        self.marks: dict[str, Time] = {}
        self.values: list[int] = []
        self.variables: dict[str, int] = {}
        self.arguments: list[str] | None = None
        self.list_size = 10
        self.displays: dict[int, tuple[str, str]] = {}
        self.scripts: dict[int, list[str]] = {}
        self.done = False
        self.traced = False
        self.hints = False
        self.before: tuple[int, Registers] | None = None  # (tid, registers) before the last run
        self.examined = ""  # what an empty `x` goes on with
        self.listed: tuple[str, int, int] | None = None  # (file, line, line behind) of what was listed last
        self._last: tuple[Command, str] | None = None
        self._block: tuple[int, list[str]] | None = None  # commands of a point that are being typed
        self._depth = 0

    # -- commands -----------------------------------------------------------------------------------

    @property
    def prompt(self) -> str:
        """What to show before the next line."""
        return ">" if self._block is not None else PROMPT

    def execute(self, line: str) -> Answer:
        """Do what a line says."""
        try:
            return Answer(self.run(line))
        except EmuError as error:
            self._last = None
            before = error.lines if isinstance(error, PromptError) else []
            return Answer([*before, f"error: {' '.join(str(error).split())}"], True)
        except ReplayInterrupted:
            return Answer(["error: interrupted"], True)

    def run(self, line: str) -> list[str]:
        """The same. Raises EmuError."""
        line = line.strip()
        if self._block is not None:
            return self._collect(self._block, line)
        if line.startswith("#"):
            return []
        if not line:
            return self._again()
        match = _WORD.match(line)
        if match is None:
            raise PromptError(f"{line!r} begins with no command")
        found, rest = find(match[1]), match[2].strip()
        self._last = (found, rest) if found.repeats else None
        return found.action(self, rest)

    def _again(self) -> list[str]:
        if self._last is None:
            return []
        found, rest = self._last
        return found.action(self, "" if found.names[0] in ("x", "list") else rest)

    @contextmanager
    def deeper(self) -> Generator[None]:
        """Commands within a command. Raises PromptError if they go on calling each other."""
        if self._depth >= _MAX_DEPTH:
            raise PromptError("commands call each other without an end")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    # -- commands of points -------------------------------------------------------------------------

    def begin_block(self, number: int) -> None:
        """The lines up to `end` belong to a point."""
        self._block = number, []

    def end_block(self, keep: bool) -> bool:
        """End it without `end`: as if that had been said, or as if nothing had. False if there is none."""
        if self._block is None:
            return False
        if keep:
            self.execute("end")
        self._block = None
        return True

    def _collect(self, block: tuple[int, list[str]], line: str) -> list[str]:
        number, lines = block
        if line == "end":
            self._block = None
            self.scripts[number] = lines
        elif line:
            lines.append(line)
        return []

    # -- the system ---------------------------------------------------------------------------------

    def restart(self, arguments: list[str] | None) -> None:
        """Boot anew. Points, marks and all else stay."""
        system = self._boot(arguments)
        old = self.d
        self.d = Debugger(system, self._recording)
        self.d.points, self.d.follow, self.d.fatal = old.points, old.follow, old.fatal
        self.d.signals.handling = old.signals.handling
        old.system.close()
        self.select(None)
        self.before = None

    def close(self) -> None:
        """Give the system's memory back."""
        self.d.system.close()

    # -- what commands ask for ----------------------------------------------------------------------

    def task(self) -> Task:
        """The task that is looked at. Raises DebugError."""
        return task_of(self.d, self.selected)

    def select(self, tid: int | None) -> None:
        """Look at a task's innermost frame, that of the one that has the CPU if None."""
        self.selected, self.frame_number, self.listed = tid, 0, None

    def frames(self, most: int) -> Backtrace:
        """The task's, up to `most`. Raises DebugError."""
        return backtrace(self.d, self.task().tid, most)

    def frame_at(self, number: int) -> Frame:
        """One of them. Raises EmuError."""
        frames = self.frames(min(number, MAX_FRAMES) + 1).frames
        if number >= len(frames):
            raise PromptError(f"there is no frame {number}: the outermost that is known is {len(frames) - 1}")
        return frames[number]

    def frame(self) -> Frame:
        """The one that is looked at. Raises EmuError."""
        return self.frame_at(self.frame_number)

    def rip(self) -> int:
        """The next instruction in that frame. Raises EmuError."""
        return self.frame().rip if self.frame_number else registers(self.d, self.task().tid).general[RIP]

    def inside(self) -> int:
        """An address of the instruction that the frame is at: a return address can be another line's, or function's."""
        return self.rip() - bool(self.frame_number and not self.frame().exact)

    def symbols(self) -> Symbols:
        """Of its program; none if nothing runs."""
        return self.d.symbols(self.d.kernel.tasks.get(self.selected or 0) or self.d.current)

    def scope(self) -> TaskScope:
        """What names mean there."""
        frame = self.frame().registers if self.frame_number else None
        return TaskScope(self.d, self.selected, self.values, frame, self.variables)

    def value(self, text: str) -> int:
        """Of an expression. Raises EmuError."""
        return evaluate(text, self.scope())

    def place(self, text: str) -> int:
        """The address of a place: a symbol, `symbol+8`, a line, `file:line`, or `*expression`. Raises EmuError."""
        if text.startswith("*"):
            return self.value(text[1:])
        try:
            return self.d.locate(text)
        except EmuError:
            if text.isidentifier() or text.isdecimal() or ":" in text:
                raise
            return self.value(text)

    def moment(self, text: str) -> Time:
        """`1234` or `1234:5` (instructions, kernel entries), a mark, `start` or `end`. Raises PromptError."""
        if text in ("start", "end"):
            return self.d.history.beginning if text == "start" else max(self.d.history.frontier, self.d.now)
        if text in self.marks:
            return self.marks[text]
        instructions, _colon, entries = text.partition(":")
        if not instructions.isdecimal() or (entries and not entries.isdecimal()):
            raise PromptError(f"{text!r} is no moment: a number of instructions, a mark, start or end")
        return Time(int(instructions), int(entries or "0"))

    # -- running ------------------------------------------------------------------------------------

    def going(self, verb: Callable[[], Stop], stepping: bool = False) -> list[str]:
        """Let the system run, and say why it stopped. A step is one of the task that is looked at."""
        return self.stopped(self.go(verb, stepping))

    def go(self, verb: Callable[[], Stop], stepping: bool = False) -> Stop:
        """The same without a word."""
        task = self.d.kernel.tasks.get(self.selected or 0)
        if stepping and task is not None and task is not self.d.current:
            if task.state is not State.RUNNABLE:
                raise PromptError(f"task {task.tid} cannot run now")
            self.d.switch(task.tid)
        current = self.d.current
        self.before = (current.tid, registers(self.d, current.tid)) if current is not None else None
        self.select(None)
        return verb()

    def stopped(self, stop: Stop) -> list[str]:
        """What is to be said about a stop, and what the commands of its points say."""
        points = {p.number for s in self.d.stops if isinstance(p := getattr(s, "point", None), Point)}
        scripts = [list(self.scripts[number]) for number in sorted(points) if self.scripts.get(number)]
        silent = any(lines[0] == "silent" for lines in scripts)
        out = [] if silent else self.describe(stop)
        for line in (line for lines in scripts for line in lines if line != "silent"):
            with self.deeper():
                out += self.run(line)
        return out

    def describe(self, stop: Stop) -> list[str]:
        """Every reason of a stop, and the context that is wanted."""
        stops = self.d.stops if stop in self.d.stops else [stop]
        signals = self.d.signals
        passed = [text_of.passed_line(each, signals.handling[each.info.signo].deliver) for each in signals.passed]
        lines = [*passed, *short_lines(self.d, stops)]
        if self.context:
            lines += context_lines(self.d, self.context, self.before)
        return lines + COMMANDS["display"].action(self, "") if self.displays and self.d.current is not None else lines

    # -- completion ---------------------------------------------------------------------------------

    def complete(self, text: str) -> list[str]:
        """What the last word of a line could become."""
        before, _space, last = text.rpartition(" ")
        if not before.strip():
            return sorted(name for name in COMMANDS if name.startswith(last) and len(name) > 1)
        sign = next((sign for sign in ("*$", "$", "*", "&") if last.startswith(sign)), "")
        if sign:
            found = self.complete(f"{before} {last.removeprefix(sign)}")
            return [f"{sign}{word}" for word in found if "$" not in sign or word in register_names()]
        try:
            found = find(before.split()[0].partition("/")[0])
        except EmuError:
            return []
        return sorted({word for word in self._words(found) if word.startswith(last)})

    def _words(self, found: Command) -> Iterable[str]:
        if not isinstance(found.completes, str):
            return found.completes
        if found.completes == "command":
            return [c.names[0] for c in commands()]
        if found.completes == "mark":
            return [*self.marks, "start", "end"]
        if found.completes == "number":
            return [str(p.number) for p in self.d.points]
        if found.completes in ("place", "value"):
            names = self.symbols().addresses()
            return [*names, *register_names()] if found.completes == "value" else list(names)
        return []
