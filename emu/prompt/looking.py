"""Looking: values, memory, code, source, and all that `info` knows."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from emu.debug import Breakpoint, state
from emu.debug.paging import sharing
from emu.prompt.errors import PromptError
from emu.prompt.frames import info_frame
from emu.prompt.registry import command, one_of
from emu.prompt.running import kind_of, time_text
from emu.prompt.shell import Shell
from emu.render import bits
from emu.render import debug as text_of
from emu.render.stats import stats_table
from emu.symbols import SourceLine
from mini_kernel.task import SigInfo
from mini_kernel.uapi.signal import SIG_DFL, SIG_IGN
from mini_kernel.x86 import RSP

_LOOKING: Final = "looking"
_MAX: Final = 65_536  # bytes, instructions or lines at once
_SIZES: Final = {"b": 1, "h": 2, "w": 4, "g": 8}
_FORMAT: Final = re.compile(r"(?:/(\d*)([xduotacsi]?)([bhwg]?)([xduotacsi]?))?\s*(.*)", re.S)


class Format(NamedTuple):
    """`/8xg`: so many, how, of which size."""

    times: int
    letter: str
    size: int
    rest: str


def format_of(text: str, letter: str = "x") -> Format:
    """What `/FMT` in front of an argument says. Raises PromptError."""
    match = _FORMAT.fullmatch(text)
    if match is None or (match[2] and match[4]) or text.startswith("/") is not (match[1] is not None):
        raise PromptError(f"{text.split()[0]!r} is no format: /COUNT, one of x d u o t a c s i, one of b h w g")
    count = int(match[1] or 1)
    if count * 8 > _MAX:
        raise PromptError(f"{count} are too many at once")
    kind = match[2] or match[4] or letter
    return Format(count, kind, _SIZES[match[3]] if match[3] else 1 if kind in "cs" else 8, match[5])


def number_text(value: int, letter: str, size: int = 8, name: str | None = None) -> str:
    """A number of `size` bytes as a format's letter wants it."""
    if letter == "d":
        return str(value - (1 << size * 8) if value >> (size * 8 - 1) else value)
    if letter == "c":
        return f"{value & 0xFF} {chr(value & 0xFF)!r}" if 32 <= value & 0xFF < 127 else str(value & 0xFF)
    if letter == "a":
        return f"{value:#x}" + (f" <{name}>" if name else "")
    return {"u": f"{value}", "o": f"{value:#o}", "t": f"{value:#b}"}.get(letter, f"{value:#0{size * 2 + 2}x}")


@command(
    "print",
    "p",
    "inspect",
    usage="[/FMT] EXPRESSION",
    says="the value of an expression; x is hexadecimal, d signed, ...",
    family=_LOOKING,
    completes="value",
)
def print_(s: Shell, text: str) -> list[str]:
    wanted = format_of(text, "")
    value = s.value(wanted.rest)
    s.values.append(value)
    name = s.symbols().name(value)
    if wanted.letter:
        shown = number_text(value, wanted.letter, 8 if wanted.letter != "x" else 1, name)
    else:
        shown = f"{value:#x}" + (f" <{name}>" if name else f" = {value}" if value > 9 else "")
    return [f"${len(s.values)} = {shown}"]


@command(
    "x",
    usage="[/FMT] ADDRESS",
    says="memory: 4xg are four words of 8 bytes, 3i instructions, s a string",
    family=_LOOKING,
    completes="value",
    repeats=True,
)
def x(s: Shell, text: str) -> list[str]:
    wanted = format_of(text or s.examined)
    if not wanted.rest:
        raise PromptError("an address is missing")
    address = s.value(wanted.rest)
    if wanted.letter == "i":
        lines = state.code(s.d, address, wanted.times, s.task().tid, s.rip())
        if not lines:
            raise PromptError(f"{address:#x} cannot be read")
        s.examined = f"/{wanted.times}i {lines[-1].address + len(lines[-1].data):#x}"
        return text_of.code_lines(lines)
    if wanted.letter == "s":
        return _strings(s, address, wanted.times)
    data = state.read(s.d, address, wanted.times * wanted.size, s.task().tid)
    letters = {1: "b", 2: "h", 4: "w", 8: "g"}
    end = address + wanted.times * wanted.size
    s.examined = f"/{wanted.times}{wanted.letter}{letters[wanted.size]} {end:#x}"
    return _words(s, address, data, wanted)


def _words(s: Shell, address: int, data: bytes, wanted: Format) -> list[str]:
    names, size = s.symbols(), wanted.size
    row = 16 if wanted.letter != "a" else size
    values = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data) - size + 1, size)]
    texts = [number_text(v, wanted.letter, size, names.name(v)) for v in values]
    per = row // size
    rows = [
        f"{_label(s, address + i * size)} {'  '.join(texts[i : i + per])}" for i in range(0, len(texts), per)
    ]  # fmt: skip
    if len(values) < wanted.times:
        rows.append(f"{address + len(data):#x}: cannot be read")
    return rows


def _label(s: Shell, address: int) -> str:
    name = s.symbols().name(address)
    return f"{address:#x}{f' <{name}>' if name else ''}:"


def _strings(s: Shell, address: int, count: int) -> list[str]:
    rows: list[str] = []
    for _ in range(count):
        data = state.read(s.d, address, 200, s.task().tid)
        if not data:
            raise PromptError(f"{address:#x} cannot be read")
        piece, zero, _rest = data.partition(b"\0")
        rows.append(f"{_label(s, address)} {piece.decode('latin-1')!a}{'' if zero else ' ...'}")
        address += len(piece) + len(zero)
    s.examined = f"/{count}s {address:#x}"
    return rows


@command("dump", usage="ADDRESS[, LENGTH]", says="a hex dump, 64 bytes if not said", family=_LOOKING, completes="value")
def dump(s: Shell, text: str) -> list[str]:
    address, _comma, length = text.partition(",")
    start, size = s.value(address), s.value(length) if length else 64
    if size > _MAX:
        raise PromptError(f"{size} bytes are too many at once")
    return text_of.memory_lines(start, state.read(s.d, start, size, s.task().tid), size)


@command(
    "disassemble",
    "disas",
    usage="[PLACE[, COUNT]]",
    says="instructions, around RIP or from a place on",
    family=_LOOKING,
    completes="place",
)
def disassemble(s: Shell, text: str) -> list[str]:
    points = [p.address for p in s.d.points.active(Breakpoint)]
    tid = s.task().tid
    if not text:
        return text_of.code_lines(state.code_around(s.d, 5, 10, tid, s.rip()), points)
    where, _comma, count = text.partition(",")
    number = s.value(count) if count else 10
    if number > _MAX // 15:
        raise PromptError(f"{number} are too many at once")
    return text_of.code_lines(state.code(s.d, s.place(where.strip()), number, tid, s.rip()), points)


@command("stack", usage="[WORDS]", says="the top of the stack", family=_LOOKING)
def stack(s: Shell, text: str) -> list[str]:
    words = s.value(text) if text else 8
    start = s.frame().registers[RSP]
    return text_of.stack_lines(state.stack(s.d, min(words, _MAX // 8), s.task().tid, start))


@command(
    "list",
    "l",
    usage="[PLACE]",
    says="source lines around RIP or a place; again: those that follow",
    family=_LOOKING,
    completes="place",
    repeats=True,
)
def list_(s: Shell, text: str) -> list[str]:
    if not text and s.listed is not None:
        file, first = s.listed
    else:
        address = s.place(text) if text else s.rip() - bool(s.frame_number and not s.frame().exact)
        line = s.symbols().line(address)
        if line is None:
            raise PromptError(f"no source line is known of {address:#x}")
        file, first = line.file, max(1, line.line - 4)
    rows = s.symbols().source(file)
    shown = rows[first - 1 : first + 9]
    if not shown:
        raise PromptError(f"{file} cannot be shown" if not rows else f"{file} has {len(rows)} lines")
    s.listed = file, first + len(shown)
    return [f"{first + i:>5}  {row}".rstrip() for i, row in enumerate(shown)]


# -- info --------------------------------------------------------------------------------------------


def _registers(s: Shell, text: str) -> list[str]:
    tid = s.task().tid
    if text:
        return [f"{name:<8}{s.value('$' + name.removeprefix('$')):#018x}" for name in text.replace(",", " ").split()]
    before = s.before[1] if s.before is not None and s.before[0] == tid else None
    frame = s.frame().registers if s.frame_number else None
    return text_of.register_lines(state.registers(s.d, tid), before, s.symbols(), frame)


def _breakpoints(s: Shell, _text: str) -> list[str]:
    rows: list[str] = []
    for point in s.d.points:
        rows += text_of.point_lines([point])
        rows += [f"    {line}" for line in s.scripts.get(point.number, ())]
    return rows or ["there are no points"]


def _tasks(s: Shell, _text: str) -> list[str]:
    return text_of.task_lines(state.tasks(s.d)) or ["nothing runs any more"]


def _maps(s: Shell, _text: str) -> list[str]:
    return text_of.area_lines(state.areas(s.d, s.task().tid))


def _signals(s: Shell, _text: str) -> list[str]:
    task = s.task()
    blocked = [n for n in range(1, 65) if task.blocked >> n - 1 & 1]
    rows = [f"blocked: {_names(blocked)}", f"pending: {_pending(task.pending)}"]
    rows.append(f"pending for the process: {_pending(task.process.pending)}")
    for number, action in sorted(task.process.actions.items()):
        does = {SIG_DFL: "its default", SIG_IGN: "nothing: it is ignored"}.get(action.handler)
        name = s.symbols().name(action.handler)
        does = does or f"handler {action.handler:#x}" + (f" <{name}>" if name else "")
        rows.append(f"{bits.signal_name(number)}: {does}")
    return rows


def _names(numbers: list[int]) -> str:
    return " ".join(map(bits.signal_name, numbers)) or "none"


def _pending(pending: list[SigInfo]) -> str:
    return _names([info.signo for info in pending])


def _events(s: Shell, text: str) -> list[str]:
    return log(s, text)


def _ledger(s: Shell, _text: str) -> list[str]:
    return stats_table(s.d.system.stats()).splitlines()


def _sharing(s: Shell, _text: str) -> list[str]:
    return text_of.sharing_lines(sharing(s.d.kernel))


def _files(s: Shell, _text: str) -> list[str]:
    task = s.task()
    rows: list[str] = []
    for fd, file in sorted(task.files.fds.items()):
        users = sorted(t.tgid for t in s.d.kernel.tasks.values() if t.alive and file in t.files.fds.values())
        others = sorted(set(users) - {task.tgid})
        shared = f", open in process {', '.join(map(str, others))} too" if others else ""
        closes = ", closed by exec" if fd in task.files.cloexec else ""
        rows.append(f"{fd}: {file.name}{shared}{closes}")
    return rows or ["no file is open"]


def _line(s: Shell, text: str) -> list[str]:
    address = s.place(text) if text else s.rip() - bool(s.frame_number and not s.frame().exact)
    line, extent = s.symbols().line(address), s.symbols().extent(address)
    if line is None or extent is None:
        return [f"no source line is known of {address:#x}"]
    return [f"{_where(line)} is {extent[0]:#x} up to {extent[1]:#x}", *([f"  {line.text}"] if line.text else [])]


def _where(line: SourceLine) -> str:
    return f"line {line.line} of {line.file}"


def _symbol(s: Shell, text: str) -> list[str]:
    address = s.place(text)
    name = s.symbols().name(address)
    return [f"{address:#x} is {name}" if name else f"no symbol reaches {address:#x}"]


def _time(s: Shell, _text: str) -> list[str]:
    history = s.d.history
    known = f"known from {time_text(history.beginning)} to {time_text(max(history.frontier, s.d.now))}"
    return [f"{time_text(s.d.now)}, in instructions and kernel entries; {known}"]


def _vector(s: Shell, _text: str) -> list[str]:
    image = state.vector_state(s.d, s.task().tid)
    rows = [f"mxcsr {int.from_bytes(image[24:28], 'little'):#x}  fcw {int.from_bytes(image[:2], 'little'):#x}"]
    for i in range(16):
        value = int.from_bytes(image[160 + 16 * i : 176 + 16 * i], "little")
        rows.append(f"xmm{i:<3} {value:#034x}")
    return rows


INFO: Final[dict[str, Callable[[Shell, str], list[str]]]] = {
    "registers": _registers,
    "frame": info_frame,
    "breakpoints": _breakpoints,
    "watchpoints": _breakpoints,
    "tasks": _tasks,
    "threads": _tasks,
    "inferiors": _tasks,
    "maps": _maps,
    "signals": _signals,
    "events": _events,
    "ledger": _ledger,
    "sharing": _sharing,
    "files": _files,
    "line": _line,
    "symbol": _symbol,
    "time": _time,
    "vector": _vector,
}
_SHORT: Final = {"r": "registers", "b": "breakpoints", "s": "signals", "t": "tasks", "proc": "maps", "f": "frame"}


@command(
    "info",
    "i",
    usage="WHAT",
    says="registers, breakpoints, tasks, maps, signals, events, ledger, ...",
    family=_LOOKING,
    completes=tuple(INFO),
)
def info(s: Shell, text: str) -> list[str]:
    word, _space, rest = text.partition(" ")
    if not word:
        return [f"info {name}" for name in INFO]
    name = one_of(_SHORT.get(word, word), list(INFO), "info")
    return INFO[name](s, rest.strip())


@command("log", usage="[N] [KIND]", says="the last N events, of one kind or of all", family=_LOOKING)
def log(s: Shell, text: str) -> list[str]:
    count, kind = 20, None
    for word in text.split():
        if word.isdecimal():
            count = int(word)
        else:
            kind = kind_of(word)
    found: list[str] = []
    for event in s.d.log.before(s.d.now):
        if len(found) >= count:
            break
        if kind is None or isinstance(event, kind):
            found.append(text_of.event_line(event))
    return found[::-1] or ["nothing has happened"]
