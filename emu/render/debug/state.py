"""Registers, stack, code, memory, areas, tasks and points, as text."""

from collections.abc import Iterable, Mapping
from typing import Final

from emu.debug.events import SignalDelivered
from emu.debug.points import Breakpoint, Catchpoint, EntryWatch, FrameWatch, Point, Watchpoint
from emu.debug.state import CodeLine, Registers, StackWord, TaskInfo
from emu.render import bits
from emu.render.debug.stops import call_text, point_name
from emu.symbols import Symbols
from emu.unwind import Backtrace, Found, Frame
from mini_kernel.observe import AreaInfo
from mini_kernel.task import State
from mini_kernel.uapi import syscall_names
from mini_kernel.x86 import REGISTER_NAMES, RIP

_ROWS = ((0, 8), (3, 9), (1, 10), (2, 11), (6, 12), (7, 13), (5, 14), (4, 15))  # rax r8, rbx r9, rcx r10, ...
_MARK = "*"
#: How a frame was found, in words.
FOUND: Final[dict[Found, str]] = {
    "here": "the registers",
    "cfi": "call frame information",
    "signal": "the signal's frame",
    "code": "reading the code",
    "frame pointer": "the frame pointer",
    "guess": "a guess",
}


def register_lines(
    now: Registers,
    before: Registers | None = None,
    symbols: Symbols | None = None,
    frame: Mapping[int, int] | None = None,
) -> list[str]:
    """Two columns; a star before what has changed since `before`. `frame`: what is known in an outer frame."""
    changed = now.changed(before) if frame is None else frozenset[str]()
    general = dict(enumerate(now.general)) if frame is None else frame

    def cell(index: int) -> str:
        name = REGISTER_NAMES[index]
        value = f"{general[index]:#018x}" if index in general else "<not saved>".ljust(18)
        return f"{_MARK if name in changed else ' '}{name:<4}{value}"

    rows = [f"{cell(left)}  {cell(right)}" for left, right in _ROWS]
    name = symbols.name(general[RIP]) if symbols else None
    flags = f"{_MARK if 'rflags' in changed else ' '}flags {now.rflags:#x} [{bits.flag_names(now.rflags)}]"
    rows.append(cell(RIP) + (f" <{name}>" if name else "") + "  " + flags)
    bases = [
        f"{_MARK if name in changed else ' '}{name} {value:#x}"
        for name, value in (("fs_base", now.fs_base), ("gs_base", now.gs_base))
        if value or name in changed
    ]
    rows.append("  ".join([*bases, f" cr3 {now.cr3:#x}"]))
    return rows


def stack_lines(words: Iterable[StackWord]) -> list[str]:
    """One word a line, the top first."""
    return [
        f"{w.address:#x}: " + ("cannot be read" if w.value is None else f"{w.value:#018x}" + _name(w.name))
        for w in words
    ]


def _name(name: str | None) -> str:
    return f" <{name}>" if name else ""


def code_lines(lines: Iterable[CodeLine], breakpoints: Iterable[int] = ()) -> list[str]:
    """Instructions with labels and source lines; `=>` at the current one, `*` where a breakpoint is."""
    marked = frozenset(breakpoints)
    rows: list[str] = []
    for line in lines:
        if line.label:
            rows.append(f"{line.label}:")
        text = line.instruction.text if line.instruction else f"(bad) {line.data.hex()}"
        arrow = "=>" if line.current else "  "
        point = "*" if line.address in marked else " "
        source = f"  # {line.source.file}:{line.source.line}  {line.source.text}".rstrip() if line.source else ""
        rows.append(f"{arrow}{point}{line.address:#x}  {line.data.hex():<22} {text:<34}{source}".rstrip())
    return rows


def memory_lines(address: int, data: bytes, wanted: int | None = None, width: int = 16) -> list[str]:
    """A hex dump; says so where fewer bytes could be read than `wanted`."""
    rows = [
        f"{address + i:#x}: {data[i : i + width].hex(' '):<{width * 3}} {_printable(data[i : i + width])}"
        for i in range(0, len(data), width)
    ]
    if wanted is not None and len(data) < wanted:
        rows.append(f"{address + len(data):#x}: cannot be read")
    return rows


def _printable(data: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 else "." for b in data)


def area_lines(areas: Iterable[AreaInfo]) -> list[str]:
    """As in /proc/PID/maps."""
    return [
        f"{a.start:#014x}-{a.end:#014x} {bits.rights(a.flags)} {a.offset:#010x} {a.name or '[anonymous]'}"
        for a in areas
    ]


def backtrace_lines(trace: Backtrace) -> list[str]:
    """The calls, the innermost first; at the end why there are no more, if that is not the end of the stack."""
    rows = [_frame(frame) for frame in trace.frames]
    return [*rows, f"(the stack is broken: {trace.broken})"] if trace.broken else rows


def _frame(f: Frame) -> str:
    if f.signal:
        return f"#{f.number} <signal handler called>"
    source = f" at {f.source.file}:{f.source.line}" if f.source else ""
    return f"#{f.number} {f.rip:#x}{_name(f.name)}{source}" + (" (a guess)" if f.found == "guess" else "")


def task_lines(tasks: Iterable[TaskInfo]) -> list[str]:
    """One a line, `*` at the one that has the CPU."""
    rows: list[str] = []
    for t in tasks:
        who = f"process {t.tgid}" if t.tid == t.tgid else f"thread {t.tid} of {t.tgid}"
        if t.state is State.WAITING and t.call is not None:
            doing = f"waits in {call_text(*t.call)}"
        else:
            doing = {State.STOPPED: "stopped by a signal"}.get(t.state, "running" if t.current else "can run")
        where = f"{t.rip:#x}" + (f" ({t.place})" if t.place else "")
        rows.append(f"{'*' if t.current else ' '} {who} {t.name} (parent {t.parent}): {doing}, at {where}")
    return rows


def point_lines(points: Iterable[Point]) -> list[str]:
    """One a line: number, what, settings, hits."""
    rows: list[str] = []
    for p in points:
        notes = [f"process {p.tgid}"] if p.tgid is not None else []
        notes += [f"if {p.condition_text or '...'}"] if p.condition is not None else []
        notes += [f"ignored {p.ignore} more times"] if p.ignore else []
        notes += ["temporary"] if p.temporary else []
        notes += ["disabled"] if not p.enabled else []
        notes += [f"hit {p.hits} time{'' if p.hits == 1 else 's'}"] if p.hits else []
        rows.append(f"{p.number}: {_what(p)}" + (f" ({', '.join(notes)})" if notes else ""))
    return rows


def _named(point: Catchpoint, item: int | str) -> str:
    """What a catchpoint waits for, by name."""
    if isinstance(item, str):
        return item
    return bits.signal_name(item) if point.kind is SignalDelivered else syscall_names.get(item, str(item))


def _what(point: Point) -> str:
    if isinstance(point, Breakpoint):
        name, at, line = point.text.partition(" at ")
        return f"breakpoint at {point.address:#x}" + _name(name if name != str(point.address) else None) + at + line
    if isinstance(point, Watchpoint):
        space = "physical memory" if point.physical else "memory"
        return f"watch {point.kind} of {space} {point.address:#x}, {point.length} bytes"
    if isinstance(point, EntryWatch):
        return f"watch the translation of {point.address:#x}"
    if isinstance(point, FrameWatch):
        return f"watch the references of frame {point.pfn:#x}"
    if isinstance(point, Catchpoint):
        only = f" {', '.join(sorted(_named(point, item) for item in point.only))}" if point.only else ""
        return f"catch {point.text or point.kind.__name__}{only}" + (" before the kernel" if point.before else "")
    return point_name(point)
