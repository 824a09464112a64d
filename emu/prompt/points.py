"""Breakpoints, watchpoints, catchpoints: made, listed, changed."""

import re
from typing import Any, Final

from emu.debug import KINDS, Breakpoint, Catchpoint, EntryWatch, FrameWatch, Point, Watchpoint
from emu.debug.events import Faulted, SignalDelivered, SyscallEntered
from emu.debug.points import WatchKind
from emu.prompt.errors import PromptError
from emu.prompt.expression import Load, parse
from emu.prompt.registry import command, numbered, one_of
from emu.prompt.scope import condition, part_of
from emu.prompt.shell import Shell
from emu.prompt.signals import signal_of
from emu.render import debug as text_of
from mini_kernel.mm.fault import FAULT_CLASSES
from mini_kernel.uapi import syscall_names

_POINTS: Final = "points"
_MAX_LENGTH: Final = 4096
_ALL_OF: Final = ("breakpoints", "breakpoint", "br", "b")  # `delete breakpoints`
_TAIL: Final = re.compile(r"(?:^|\s)(if|process)\s")


class Tail:
    """`process N` and `if CONDITION` behind the rest of a point."""

    def __init__(self, s: Shell, text: str) -> None:
        """Raises EmuError."""
        self.settings: dict[str, Any] = {}
        match = _TAIL.search(text)
        self.head = text[: match.start()].strip() if match else text.strip()
        while match is not None:
            rest = text[match.end() :]
            if match[1] == "if":
                self.settings |= {"condition": condition(rest), "condition_text": rest.strip()}
                break
            match = _TAIL.search(rest)
            self.settings["tgid"] = s.value(rest[: match.start()] if match else rest)
            text = rest


def _added(s: Shell, point: Point) -> list[str]:
    s.d.add(point)
    return text_of.point_lines([point])


def _breakpoint(s: Shell, text: str, **settings: bool) -> list[str]:
    tail = Tail(s, text)
    address = s.place(tail.head or "*rip")
    named = tail.head if tail.head[:1].isalpha() and ":" not in tail.head else s.symbols().name(address) or ""
    line = s.symbols().line(address) if ":" in tail.head or tail.head.isdecimal() else None
    if line is not None:  # which may be a later one than was asked for
        named = f"{named} at {line.file}:{line.line}"
    return _added(s, Breakpoint(address=address, text=named, **settings, **tail.settings))


@command(
    "break",
    "b",
    "br",
    "hbreak",
    usage="[PLACE] [process N] [if CONDITION]",
    says="stop before an instruction",
    family=_POINTS,
    completes="place",
)
def break_(s: Shell, text: str) -> list[str]:
    return _breakpoint(s, text)


@command(
    "tbreak",
    "tb",
    usage="[PLACE] [process N] [if CONDITION]",
    says="the same, once",
    family=_POINTS,
    completes="place",
)
def tbreak(s: Shell, text: str) -> list[str]:
    return _breakpoint(s, text, temporary=True)


def _watch(s: Shell, text: str, kind: WatchKind) -> list[str]:
    tail = Tail(s, text)
    physical, head = _flag(tail.head, "-p")
    for same in ("-l", "-location"):  # gdb's for: the address, not the expression; that is always meant here
        head = _flag(head, same)[1]
    address, length = span(s, head)
    return _added(s, Watchpoint(address=address, length=length, kind=kind, physical=physical, **tail.settings))


def _flag(text: str, flag: str) -> tuple[bool, str]:
    return (True, text.removeprefix(flag).strip()) if text.split()[:1] == [flag] else (False, text)


def span(s: Shell, text: str) -> tuple[int, int]:
    """`ADDRESS [, LENGTH]`: 8 bytes if not said; `*ADDRESS`, `*(int *)ADDRESS`, as gdb has it. Raises EmuError."""
    address, _comma, length = text.partition(",")
    expression, name = parse(address), address.strip().removeprefix("$")
    if part_of(name) is not None and not length and address.strip().startswith("$"):
        raise PromptError(
            f"registers cannot be watched: `watch *{address}` is the memory there; conditions ask registers"
        )
    memory = expression if isinstance(expression, Load) and address.lstrip()[:1] in ("*", "{") else None
    size = s.value(length) if length else memory.size if memory is not None else 8
    if not 0 < size <= _MAX_LENGTH:
        raise PromptError(f"{size} bytes cannot be watched: 1 to {_MAX_LENGTH}")
    return memory.address(s.scope()) if memory is not None else s.value(address), size


@command(
    "watch",
    "wa",
    usage="[-p] ADDRESS[, LENGTH] [process N] [if C]",
    says="stop behind a change of memory; -p: physical",
    family=_POINTS,
    completes="value",
)
def watch(s: Shell, text: str) -> list[str]:
    return _watch(s, text, "change")


@command(
    "wwatch",
    usage="[-p] ADDRESS[, LENGTH] ...",
    says="behind a store, whatever it stores",
    family=_POINTS,
    completes="value",
)
def wwatch(s: Shell, text: str) -> list[str]:
    return _watch(s, text, "write")


@command("rwatch", usage="[-p] ADDRESS[, LENGTH] ...", says="behind a load", family=_POINTS, completes="value")
def rwatch(s: Shell, text: str) -> list[str]:
    return _watch(s, text, "read")


@command("awatch", usage="[-p] ADDRESS[, LENGTH] ...", says="behind a load or store", family=_POINTS, completes="value")
def awatch(s: Shell, text: str) -> list[str]:
    return _watch(s, text, "access")


@command(
    "watch-pte",
    usage="ADDRESS [process N]",
    says="stop when an entry that translates it changes",
    family=_POINTS,
    completes="value",
)
def watch_pte(s: Shell, text: str) -> list[str]:
    tail = Tail(s, text)
    return _added(s, EntryWatch(address=s.value(tail.head), text=tail.head, **tail.settings))


@command("watch-frame", usage="PFN", says="stop when a frame's number of references changes", family=_POINTS)
def watch_frame(s: Shell, text: str) -> list[str]:
    tail = Tail(s, text)
    return _added(s, FrameWatch(pfn=frame_of(s, tail.head), text=tail.head, **tail.settings))


def frame_of(s: Shell, text: str) -> int:
    """A frame's number. Raises EmuError for one that RAM does not have."""
    pfn, total = s.value(text), s.d.kernel.frames.total
    if pfn >= total:
        raise PromptError(f"there is no frame {pfn:#x}: the last is {total - 1:#x}")
    return pfn


def _catch(s: Shell, text: str, temporary: bool) -> list[str]:
    tail = Tail(s, text)
    words = tail.head.split()
    if not words:
        raise PromptError(f"name what to catch: {', '.join(KINDS)}")
    name = one_of(words[0], list(KINDS), "kind of event")
    kind = KINDS[name]
    only = frozenset(_only(name, word.strip(",")) for word in words[1:])
    before = kind in (SyscallEntered, Faulted, SignalDelivered)
    settings = {"kind": kind, "only": only, "before": before, "text": name, "temporary": temporary}
    return _added(s, Catchpoint(**settings, **tail.settings))


def _only(kind: str, word: str) -> int | str:
    """A call, a signal or a class of faults by name."""
    if word.isdecimal():
        return int(word)
    if kind in ("syscall", "return", "wait"):
        return numbered(word, syscall_names, "system call")
    if kind == "signal":
        return signal_of(word)
    if kind == "fault":
        return one_of(word.replace("-", "_"), list(FAULT_CLASSES), "class of faults")
    return word


@command(
    "catch",
    usage="KIND [NAMES...] [process N] [if C]",
    says="stop at events: syscall, signal, fault, fork, ...",
    family=_POINTS,
    completes=tuple(KINDS),
)
def catch(s: Shell, text: str) -> list[str]:
    return _catch(s, text, False)


@command(
    "tcatch", usage="KIND [NAMES...] [process N] [if C]", says="the same, once", family=_POINTS, completes=tuple(KINDS)
)
def tcatch(s: Shell, text: str) -> list[str]:
    return _catch(s, text, True)


# -- changing them -----------------------------------------------------------------------------------


def _point(s: Shell, word: str) -> Point:
    try:
        return s.d.points.get(int(word))
    except (KeyError, ValueError):
        raise PromptError(f"there is no point {word}" if word else "a point's number is missing") from None


def _chosen(s: Shell, text: str) -> list[Point]:
    """Those that are named, `2-4` too, all if none is."""
    words = [word for word in text.replace(",", " ").split() if word not in _ALL_OF]
    points: list[Point] = []
    for word in words:
        first, dash, last = word.partition("-")
        if dash and first.isdecimal() and last.isdecimal():
            points += [p for p in s.d.points if int(first) <= p.number <= int(last)]
        else:
            points.append(_point(s, word))
    return points if words else list(s.d.points)


@command("clear", usage="[PLACE]", says="remove the breakpoints at a place", family=_POINTS, completes="place")
def clear(s: Shell, text: str) -> list[str]:
    address = s.place(text) if text else s.rip()
    found = [p for p in s.d.points if isinstance(p, Breakpoint) and p.address == address]
    if not found:
        raise PromptError(f"there is no breakpoint at {address:#x}")
    return delete(s, " ".join(str(p.number) for p in found))


@command(
    "delete", "d", "del", usage="[N...]", says="remove points, all if none is named", family=_POINTS, completes="number"
)
def delete(s: Shell, text: str) -> list[str]:
    for point in _chosen(s, text):
        s.d.points.remove(point.number)
        s.scripts.pop(point.number, None)
    return []


@command("enable", "en", usage="[N...]", says="let points stop again", family=_POINTS, completes="number")
def enable(s: Shell, text: str) -> list[str]:
    for point in _chosen(s, text):
        s.d.points.enable(point.number, True)
    return []


@command("disable", "dis", usage="[N...]", says="let points stop no more", family=_POINTS, completes="number")
def disable(s: Shell, text: str) -> list[str]:
    for point in _chosen(s, text):
        s.d.points.enable(point.number, False)
    return []


@command("ignore", usage="N COUNT", says="pass a point so often before it stops", family=_POINTS, completes="number")
def ignore(s: Shell, text: str) -> list[str]:
    number, _space, count = text.partition(" ")
    point = _point(s, number)
    point.ignore = s.value(count)
    return text_of.point_lines([point])


@command(
    "condition",
    "cond",
    usage="N [CONDITION]",
    says="let a point stop only if it holds; without: always",
    family=_POINTS,
    completes="number",
)
def condition_(s: Shell, text: str) -> list[str]:
    number, _space, rest = text.partition(" ")
    point = _point(s, number)
    point.condition = condition(rest) if rest else None
    point.condition_text = rest.strip()
    return text_of.point_lines([point])


@command(
    "commands",
    usage="[N]",
    says="run the lines up to `end` at each stop of a point; `silent` says nothing else",
    family=_POINTS,
    completes="number",
)
def commands_(s: Shell, text: str) -> list[str]:
    numbers = [p.number for p in s.d.points]
    if not text and not numbers:
        raise PromptError("there are no points")
    number = _point(s, text).number if text else numbers[-1]
    s.begin_block(number)
    return [f"commands for point {number}, one a line, then a line that says `end`"] if s.hints else []


def point_commands(s: Shell) -> list[str]:
    """Commands that make the present points again."""
    rows: list[str] = []
    for point in s.d.points:
        made = _made_by(point)
        rest = f" process {point.tgid}" if point.tgid is not None else ""
        rest += f" if {point.condition_text}" if point.condition_text else ""
        rows.append(made + rest)
        script = s.scripts.get(point.number)
        rows += ["commands", *script, "end"] if script else []
    return rows


def _made_by(point: Point) -> str:
    if isinstance(point, Breakpoint):
        return f"{'tbreak' if point.temporary else 'break'} *{point.address:#x}"
    if isinstance(point, Watchpoint):
        name = {"change": "watch", "write": "wwatch", "read": "rwatch", "access": "awatch"}[point.kind]
        return f"{name} {'-p ' if point.physical else ''}{point.address:#x}, {point.length}"
    if isinstance(point, EntryWatch):
        return f"watch-pte {point.address:#x}"
    if isinstance(point, FrameWatch):
        return f"watch-frame {point.pfn:#x}"
    assert isinstance(point, Catchpoint)
    return " ".join(["tcatch" if point.temporary else "catch", point.text, *sorted(map(str, point.only))])
