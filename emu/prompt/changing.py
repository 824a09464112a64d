"""Changing: registers, memory, settings, which task is looked at and which one runs."""

import re
from typing import Final

from emu.debug import Follow, state
from emu.prompt.context import ALL_SECTIONS, SECTIONS, context_lines
from emu.prompt.elsewhere import HARMLESS
from emu.prompt.errors import PromptError
from emu.prompt.expression import Load, parse
from emu.prompt.registry import command, one_of
from emu.prompt.running import words
from emu.prompt.scope import part_of
from emu.prompt.shell import Shell
from emu.render import debug as text_of

_CHANGING: Final = "changing"
_TASKS: Final = "tasks"
_SETTINGS: Final = ("args", "context", "trace-commands", "fatal", "follow-fork-mode", "scheduler-locking",
                    "disassembly-flavor", "listsize")  # fmt: skip
_NAME: Final = re.compile(r"\$[A-Za-z_]\w*")


@command(
    "set",
    usage="REGISTER = V | [ADDRESS] = V | {TYPE}ADDRESS = V | $NAME = V | SETTING VALUE",
    says="change a register, memory (byte [..] too), or a setting",
    family=_CHANGING,
    completes=_SETTINGS,
)
def set_(s: Shell, text: str) -> list[str]:
    text = re.sub(r"^var(iable)?\s+", "", text)
    word, _space, rest = text.partition(" ")
    if word in _SETTINGS:
        return _setting(s, word, rest.strip())
    if word in HARMLESS:
        return []
    target, value = _assignment(text)
    number = s.value(value)
    if part_of(target.removeprefix("$")) is not None:
        _set_register(s, target.removeprefix("$"), number)
    elif _NAME.fullmatch(target):
        s.variables[target.removeprefix("$")] = number
    else:
        place = parse(target)
        if not isinstance(place, Load):
            s.value(target)
            raise PromptError(
                f"{target} has no size: set {{int}}{target} = {value}, or byte [{target}], qword [{target}]"
            )
        data = (number & (1 << place.size * 8) - 1).to_bytes(place.size, "little")
        state.write(s.d, place.address(s.scope()), data, s.task().tid)
    return []


def _assignment(text: str) -> tuple[str, str]:
    """Both sides of `=`. Raises PromptError."""
    target, equals, value = text.partition("=")
    if not equals or not target.strip():
        raise PromptError(f"set what? REGISTER = VALUE, [ADDRESS] = VALUE, or one of {', '.join(_SETTINGS)}")
    return target.strip(), value.strip()


def _set_register(s: Shell, name: str, number: int) -> None:
    """A register, or a part of one: the rest of it stays, as in gdb."""
    if s.frame_number:
        raise PromptError("registers can be changed in frame 0 only: `frame 0`")
    part = part_of(name)
    assert part is not None
    whole, first, bits_ = part
    mask = (1 << bits_) - 1 << first
    old = state.registers(s.d, s.task().tid).named()[whole]
    state.set_register(s.d, whole, old & ~mask | number << first & mask, s.task().tid)


def _setting(s: Shell, name: str, value: str) -> list[str]:
    if name == "context":
        s.context = _sections(value)
    elif name == "trace-commands":
        s.traced = _switch(value)
    elif name == "fatal":
        s.d.fatal = _switch(value)
    elif name == "args":
        s.arguments = words(value)
    elif name == "scheduler-locking":
        s.d.lock(one_of(value, ["on", "off", "step", "replay"], "setting") in ("on", "step"))
    elif name == "listsize":
        s.list_size = min(max(1, s.value(value)), 1000)
    elif name == "disassembly-flavor":
        if one_of(value, ["intel", "att"], "setting") == "att":
            raise PromptError("instructions are shown in Intel's syntax")
    else:
        return follow(s, value)
    return []


@command("show", usage="[SETTING]", says="what a setting is", family=_CHANGING, completes=_SETTINGS)
def show(s: Shell, text: str) -> list[str]:
    known = {
        "args": " ".join(s.arguments or ()) or "those of the command line",
        "context": " ".join(s.context) or "off",
        "trace-commands": "on" if s.traced else "off",
        "fatal": "on" if s.d.fatal else "off",
        "follow-fork-mode": s.d.follow,
        "scheduler-locking": "off" if s.d.tap.preempts else "on",
        "disassembly-flavor": "intel",
        "listsize": str(s.list_size),
        "convenience": " ".join(f"${name}={value:#x}" for name, value in s.variables.items()) or "none",
    }
    names = [one_of(text, list(known), "setting")] if text else list(known)
    return [f"{name}: {known[name]}" for name in names]


def _switch(value: str) -> bool:
    return one_of(value, ["on", "off"], "setting") == "on"


def _sections(value: str) -> tuple[str, ...]:
    if value in ("on", "off", ""):
        return SECTIONS if value != "off" else ()
    words = value.replace(",", " ").split()
    return tuple(one_of(word, list(ALL_SECTIONS), "section") for word in words)


@command("context", says="the context again, as after a stop", family="looking")
def context(s: Shell, text: str) -> list[str]:
    return context_lines(s.d, _sections(text) if text else s.context or SECTIONS, s.before)


@command(
    "task",
    "t",
    "thread",
    "inferior",
    usage="[N | apply all|N... COMMAND]",
    says="look at another task; steps are its steps then; apply: a command for each",
    family=_TASKS,
    completes=("apply",),
)
def task(s: Shell, text: str) -> list[str]:
    if text.split()[:1] == ["apply"]:
        return _apply(s, text.split()[1:])
    if text:
        tid = s.value(text)
        state.task_of(s.d, tid)
        s.select(tid)
    tid = s.task().tid
    return [
        line
        for info, line in zip(state.tasks(s.d), text_of.task_lines(state.tasks(s.d)), strict=True)
        if info.tid == tid
    ]


def _apply(s: Shell, text: list[str]) -> list[str]:
    """`thread apply all bt`: the command with each task looked at, a heading before."""
    numbers: list[int] = []
    while text and (text[0].isdecimal() or text[0] == "all"):
        word = text.pop(0)
        numbers += [info.tid for info in state.tasks(s.d)] if word == "all" else [int(word)]
    if not numbers or not text:
        raise PromptError("thread apply all|N... COMMAND")
    rows: list[str] = []
    before, frame = s.selected, s.frame_number
    with s.deeper():
        for tid in numbers:
            state.task_of(s.d, tid)
            s.select(tid)
            rows += [f"task {tid}:", *s.run(" ".join(text))]
            if s.selected != tid:  # it has run
                return rows
    s.select(before)
    s.frame_number = frame
    return rows


@command("switch", usage="N", says="give the CPU to another task now: another future begins", family=_TASKS)
def switch(s: Shell, text: str) -> list[str]:
    s.d.switch(s.value(text))
    s.select(None)
    return task(s, "")


@command(
    "follow",
    usage="parent|child|both",
    says="with whom steps go on after a fork; both: they end in each, and stepi is of whoever runs",
    family=_TASKS,
    completes=("parent", "child", "both"),
)
def follow(s: Shell, text: str) -> list[str]:
    sides: tuple[Follow, ...] = ("parent", "child", "both")
    s.d.follow = next(side for side in sides if side == one_of(text, list(sides), "side"))
    return []


@command(
    "lock",
    usage="on|off",
    says="on: no time slice ends, this task runs until it waits",
    family=_TASKS,
    completes=("on", "off"),
)
def lock(s: Shell, text: str) -> list[str]:
    s.d.lock(_switch(text or "on"))
    return []
