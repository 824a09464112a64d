"""All that `info` knows, and the log of events."""

from collections.abc import Callable
from typing import Final

from emu.debug import Breakpoint, Catchpoint, Point, state
from emu.debug.paging import sharing
from emu.debug.stops import Stepped
from emu.prompt.context import short_lines
from emu.prompt.errors import PromptError
from emu.prompt.frames import backtrace, info_frame
from emu.prompt.registry import command, one_of
from emu.prompt.running import kind_of, time_text
from emu.prompt.shell import Shell
from emu.prompt.signals import info_handling, info_signals
from emu.render import debug as text_of
from emu.render.stats import stats_table
from emu.symbols import SourceLine

_LOOKING: Final = "looking"
_MAX_NAMES: Final = 200


def _registers(s: Shell, text: str) -> list[str]:
    tid = s.task().tid
    if text:
        return [_register(s, name.removeprefix("$")) for name in text.replace(",", " ").split()]
    before = s.before[1] if s.before is not None and s.before[0] == tid else None
    frame = s.frame().registers if s.frame_number else None
    return text_of.register_lines(state.registers(s.d, tid), before, s.symbols(), frame)


def _register(s: Shell, name: str) -> str:
    value = s.value(f"${name}")
    place = s.symbols().name(value)
    return f"{name:<8}{value:#018x}" + (f" <{place}>" if place else f"  {value}")


def _breakpoints(s: Shell, text: str) -> list[str]:
    numbers = text.replace(",", " ").split()
    return _points(s, [p for p in s.d.points if not numbers or str(p.number) in numbers])


def _watchpoints(s: Shell, _text: str) -> list[str]:
    return _points(s, [p for p in s.d.points if not isinstance(p, Breakpoint | Catchpoint)])


def _points(s: Shell, points: list[Point]) -> list[str]:
    rows: list[str] = []
    for point in points:
        rows += text_of.point_lines([point])
        rows += [f"    {line}" for line in s.scripts.get(point.number, ())]
    return rows or ["there are no points"]


def _tasks(s: Shell, _text: str) -> list[str]:
    return text_of.task_lines(state.tasks(s.d)) or ["nothing runs any more"]


def _maps(s: Shell, _text: str) -> list[str]:
    return text_of.area_lines(state.areas(s.d, s.task().tid))


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
    address = s.place(text) if text else s.inside()
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


def _displays(s: Shell, _text: str) -> list[str]:
    return [f"{number}: {form}{' ' if form else ''}{text}" for number, (form, text) in s.displays.items()] or [
        "nothing is displayed"
    ]


def _functions(s: Shell, text: str) -> list[str]:
    """Those whose names have `text` in them: labels of code and of data."""
    found = sorted((address, name) for name, address in s.symbols().addresses().items() if text in name)
    return [f"{address:#x}  {name}" for address, name in found[:_MAX_NAMES]] + (
        [f"({len(found) - _MAX_NAMES} more: info functions PART-OF-NAME)"] if len(found) > _MAX_NAMES else []
    )


def _address(s: Shell, text: str) -> list[str]:
    address = s.symbols().addresses().get(text.strip())
    if address is None:
        raise PromptError(f"there is no symbol {text.strip()!r}" if text else "which symbol?")
    return [f"{text.strip()} is at {address:#x}"]


def _source(s: Shell, _text: str) -> list[str]:
    line = s.symbols().line(s.inside())
    if line is None:
        return [f"no source line is known of {s.rip():#x}"]
    rows = s.symbols().source(line.file)
    return [f"{line.file}: " + (f"{len(rows)} lines, the next is {line.line}" if rows else "it cannot be shown")]


def _program(s: Shell, _text: str) -> list[str]:
    return short_lines(s.d, s.d.stops or [s.d.stand(Stepped)])


def _locals(s: Shell, _text: str) -> list[str]:
    raise PromptError("names of variables are not read: `info frame`, `info registers`, `print *(int *)($rbp - 8)`")


def _checkpoints(s: Shell, _text: str) -> list[str]:
    return [f"{name}: {time_text(when)}" for name, when in s.marks.items()] or ["there are no checkpoints"]


INFO: Final[dict[str, Callable[[Shell, str], list[str]]]] = {
    "registers": _registers,
    "frame": info_frame,
    "breakpoints": _breakpoints,
    "watchpoints": _watchpoints,
    "stack": backtrace,
    "display": _displays,
    "functions": _functions,
    "address": _address,
    "source": _source,
    "program": _program,
    "locals": _locals,
    "args": _locals,
    "checkpoints": _checkpoints,
    "tasks": _tasks,
    "threads": _tasks,
    "inferiors": _tasks,
    "maps": _maps,
    "signals": info_signals,
    "handling": info_handling,
    "events": _events,
    "ledger": _ledger,
    "sharing": _sharing,
    "files": _files,
    "line": _line,
    "symbol": _symbol,
    "time": _time,
    "vector": _vector,
}
_SHORT: Final = {
    "r": "registers", "all-registers": "registers", "b": "breakpoints", "s": "stack", "t": "tasks", "proc": "maps",
    "f": "frame", "sig": "signals", "variables": "functions", "marks": "checkpoints", "float": "vector",
}  # fmt: skip


_NOT_HERE: Final = {
    "sharedlibrary": "programs are static, `info maps` shows what is mapped",
    "dll": "programs are static, `info maps` shows what is mapped",
    "target": "`info maps` shows what of the program is where",
    "types": "types are not read",
    "scope": "names of variables are not read: `info frame`",
    "macro": "macros are expanded in `emu asm --listing`",
    "os": "`info tasks`, `info files`, `info ledger`",
    "auxv": "it is above the environment on the stack: `stack $rsp, 60`",
    "record": "`info time` says which moments can be gone to",
}  # fmt: skip


@command(
    "info",
    "i",
    "inf",
    usage="WHAT",
    says="registers, breakpoints, tasks, maps, signals, events, ledger, ...",
    family=_LOOKING,
    completes=tuple(INFO),
)
def info(s: Shell, text: str) -> list[str]:
    word, _space, rest = text.partition(" ")
    if not word:
        return [f"info {name}" for name in INFO]
    if word in _NOT_HERE:
        raise PromptError(f"there is no info {word!r} here: {_NOT_HERE[word]}")
    name = one_of(_SHORT.get(word, word), list(INFO), "info")
    return INFO[name](s, rest.strip())


@command("vmmap", usage="", says="info maps", family=_LOOKING)
def vmmap(s: Shell, text: str) -> list[str]:
    return _maps(s, text)


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
