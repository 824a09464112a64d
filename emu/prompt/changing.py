"""Changing: registers, memory, settings, which task is looked at and which one runs."""

import re
from typing import Final, Literal

from emu.debug import Catchpoint, state
from emu.debug.events import Forked
from emu.prompt.context import ALL_SECTIONS, SECTIONS, context_lines
from emu.prompt.errors import PromptError
from emu.prompt.registry import command, one_of
from emu.prompt.shell import Shell
from emu.render import debug as text_of

_CHANGING: Final = "changing"
_TASKS: Final = "tasks"
_SETTINGS: Final = ("context", "trace-commands", "fatal", "follow-fork-mode")
_MEMORY: Final = re.compile(r"(?:(byte|word|dword|qword)\s*(?:ptr\s*)?)?\[(.*)\]", re.S)
_BYTES: Final = {"byte": 1, "word": 2, "dword": 4, "qword": 8}


@command(
    "set",
    usage="REGISTER = V | [ADDRESS] = V | SETTING VALUE",
    says="change a register, memory (byte [..] too), or a setting",
    family=_CHANGING,
    completes=_SETTINGS,
)
def set_(s: Shell, text: str) -> list[str]:
    text = text.removeprefix("var ").strip()
    word, _space, rest = text.partition(" ")
    if word in _SETTINGS:
        return _setting(s, word, rest.strip())
    target, equals, value = text.partition("=")
    if not equals:
        raise PromptError(f"set what? REGISTER = VALUE, [ADDRESS] = VALUE, or one of {', '.join(_SETTINGS)}")
    number, target, tid = s.value(value), target.strip(), s.task().tid
    memory = _MEMORY.fullmatch(target)
    if memory is None:
        if s.frame_number:
            raise PromptError("registers can be changed in frame 0 only")
        state.set_register(s.d, target.removeprefix("$"), number, tid)
        return []
    size = _BYTES[memory[1] or "qword"]
    state.write(s.d, s.value(memory[2]), (number & (1 << size * 8) - 1).to_bytes(size, "little"), tid)
    return []


def _setting(s: Shell, name: str, value: str) -> list[str]:
    if name == "context":
        s.context = _sections(value)
    elif name == "trace-commands":
        s.traced = _switch(value)
    elif name == "fatal":
        s.d.fatal = _switch(value)
    else:
        return follow(s, value)
    return []


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
    "task", "thread", "inferior", usage="[N]", says="look at another task; steps are its steps then", family=_TASKS
)
def task(s: Shell, text: str) -> list[str]:
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


@command("switch", usage="N", says="give the CPU to another task now: another future begins", family=_TASKS)
def switch(s: Shell, text: str) -> list[str]:
    s.d.switch(s.value(text))
    s.select(None)
    return task(s, "")


@command(
    "follow",
    usage="parent|child|both",
    says="with whom steps go on after a fork; both: stop at every fork",
    family=_TASKS,
    completes=("parent", "child", "both"),
)
def follow(s: Shell, text: str) -> list[str]:
    word = one_of(text, ["parent", "child", "both"], "side")
    side: Literal["parent", "child"] = "child" if word == "child" else "parent"
    s.d.follow = side
    for point in s.d.points.active(Catchpoint):
        if point.text == _BOTH:
            s.d.points.remove(point.number)
    if word == "both":
        s.d.add(Catchpoint(kind=Forked, text=_BOTH))
    return []


_BOTH: Final = "fork, to follow both"


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
