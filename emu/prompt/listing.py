"""Looking at code: instructions and source lines."""

import re
from typing import Final

from emu.debug import Breakpoint, state
from emu.debug.state import CodeLine
from emu.prompt.errors import PromptError
from emu.prompt.registry import command
from emu.prompt.shell import Shell
from emu.render import debug as text_of

_LOOKING: Final = "looking"
_MAX: Final = 4000  # instructions or lines at once
_FUNCTION: Final = 300  # instructions of a function that is shown as a whole
_INSTRUCTIONS: Final = 10
_ENDS: Final = frozenset(("ret", "jmp", "ud2", "hlt"))
_SPAN: Final = re.compile(r"\s*([^,]*),\s*([^,]*)\s*")


@command(
    "disassemble",
    "disas",
    "nearpc",
    usage="[FUNCTION | PLACE, COUNT | FROM, TO | FROM, +BYTES]",
    says="instructions around RIP, of a function, or from a place on",
    family=_LOOKING,
    completes="place",
)
def disassemble(s: Shell, text: str) -> list[str]:
    points = [p.address for p in s.d.points.active(Breakpoint)]
    text = re.sub(r"^(/[rsmb]+\s*)+", "", text)  # gdb's: bytes and lines are shown anyway
    tid, rip = s.task().tid, s.rip()
    if not text:
        return text_of.code_lines(state.code_around(s.d, 5, 10, tid, rip), points)
    where, comma, end = text.partition(",")
    start = s.place(where.strip())
    lines = _span(s, start, end.strip()) if comma else _function(s, start)
    if not lines:
        raise PromptError(f"{start:#x} cannot be read")
    return text_of.code_lines(lines, points)


def _span(s: Shell, start: int, end: str) -> list[CodeLine]:
    """`FROM, TO`, `FROM, +BYTES`, or a number of instructions."""
    tid, rip, number = s.task().tid, s.rip(), s.value(end.removeprefix("+"))
    stop = start + number if end.startswith("+") else number if number > start else None
    if (number if stop is None else (stop - start) // 4) > _MAX:
        raise PromptError(f"{end} are too many at once")
    if stop is None:
        return state.code(s.d, start, number, tid, rip)
    return [line for line in state.code(s.d, start, stop - start, tid, rip) if line.address < stop]


def _function(s: Shell, start: int) -> list[CodeLine]:
    """From a function's label to its end: what its size says, or a label behind an instruction that does not go on."""
    symbols = s.symbols()
    if symbols.names.get(start) is None:
        return state.code(s.d, start, _INSTRUCTIONS, s.task().tid, s.rip())
    end = symbols.names[start][1]
    lines = state.code(s.d, start, _FUNCTION, s.task().tid, s.rip())
    for i, line in enumerate(lines):
        before = lines[i - 1].instruction if i else None
        if line.address >= end or (line.label and before is not None and before.mnemonic.split()[-1] in _ENDS):
            return lines[:i]
    return lines


@command(
    "list",
    "l",
    usage="[PLACE | LINE | FROM,TO | -]",
    says="source lines around RIP or a place; again: those that follow; -: those before",
    family=_LOOKING,
    completes="place",
    repeats=True,
)
def list_(s: Shell, text: str) -> list[str]:
    file, first, last = _wanted(s, text.strip())
    rows = s.symbols().source(file)
    shown = rows[first - 1 : last]
    if not shown:
        raise PromptError(f"{file} cannot be shown" if not rows else f"{file} has {len(rows)} lines")
    s.listed = file, first, first + len(shown)
    return [f"{first + i:>5}  {row}".rstrip() for i, row in enumerate(shown)]


def _wanted(s: Shell, text: str) -> tuple[str, int, int]:
    """(file, first line, last line)."""
    size = s.list_size
    if s.listed is not None and text in ("", "-"):
        file, first, after = s.listed
        if text and first == 1:
            raise PromptError(f"{file} begins there")
        return (file, max(1, first - size), first - 1) if text else (file, after, after + size - 1)
    span = _SPAN.fullmatch(text)
    if span is not None:
        file, first = _line(s, span[1]) if span[1] else ("", 0)
        to_file, last = _line(s, span[2]) if span[2] else (file, first + size - 1)
        first = first or max(1, last - size + 1)
        return file or to_file, first, min(last, first + _MAX)
    file, line = _line(s, text)
    first = max(1, line - (size - 1) // 2)
    return file, first, first + size - 1


def _line(s: Shell, text: str) -> tuple[str, int]:
    """A line by number, or that of a place; of RIP in the chosen frame if nothing is said."""
    file, _colon, number = text.strip().rpartition(":")
    if number.isdecimal() and len(number) < 9:
        return _file(s, file), int(number)
    address = s.place(text) if text else s.inside()
    line = s.symbols().line(address)
    if line is None:
        raise PromptError(f"no source line is known of {address:#x}")
    return line.file, line.line


def _file(s: Shell, name: str) -> str:
    """The file that a line's number is meant in, if that is not said: listed before, or where it stands, or main's."""
    symbols = s.symbols()
    if name:
        address = next(iter(symbols.lines_from(name, 1).values()), None)
        line = symbols.line(address) if address is not None else None
        return line.file if line is not None else name
    if s.listed is not None:
        return s.listed[0]
    for address in (s.rip(), symbols.addresses().get("main")):
        line = symbols.line(address) if address is not None else None
        if line is not None:
            return line.file
    raise PromptError("no source file is known here: FILE:LINE")
