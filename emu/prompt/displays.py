"""Expressions that are shown after each stop, and texts with values in them."""

import re
from collections.abc import Callable
from typing import Final

from emu.errors import EmuError
from emu.prompt.errors import PromptError
from emu.prompt.looking import formatted, number_text, x
from emu.prompt.registry import command
from emu.prompt.shell import Shell

_LOOKING: Final = "looking"
_FORM: Final = re.compile(r"(/\w+)?\s*(.*)", re.S)
_CONVERSION: Final = re.compile(r"%(?:%|[-0-9]*(?:hh|h|ll|l|z)?([diuxXopcs]))")
_NUMBERS: Final[dict[str, Callable[[int], str]]] = {
    "d": lambda value: number_text(value, "d"),
    "i": lambda value: number_text(value, "d"),
    "u": str,
    "x": lambda value: f"{value:x}",
    "X": lambda value: f"{value:X}",
    "o": lambda value: f"{value:o}",
    "p": lambda value: f"{value:#x}",
}
_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


@command(
    "display",
    usage="[[/FMT] EXPRESSION]",
    says="show a value after each stop; `display/i $pc` and `/s` are as with x",
    family=_LOOKING,
    completes="value",
)
def display(s: Shell, text: str) -> list[str]:
    if not text:
        return [row for number in s.displays for row in _shown(s, number)]
    match = _FORM.fullmatch(text)
    assert match is not None
    number = max(s.displays, default=0) + 1
    s.displays[number] = match[1] or "", match[2]
    try:
        return _evaluated(s, number)
    except EmuError:
        del s.displays[number]
        raise


def _shown(s: Shell, number: int) -> list[str]:
    """What cannot be evaluated now is left out."""
    try:
        return _evaluated(s, number)
    except EmuError:
        return []


def _evaluated(s: Shell, number: int) -> list[str]:
    form, text = s.displays[number]
    memory = re.fullmatch(r"/\d*(?:[is]|\d[a-z]*|[a-z]*[bhwg][a-z]*)", form) is not None
    head = f"{number}: {form}{' ' if form else ''}{text}"
    if not memory:
        return [f"{head} = {formatted(s, f'{form} {text}')[1]}"]
    examined = s.examined
    rows = x(s, f"{form} {text}")
    s.examined = examined
    return [head, *rows]


@command("undisplay", usage="[N...]", says="show them no more, all if none is named", family=_LOOKING)
def undisplay(s: Shell, text: str) -> list[str]:
    for word in text.split() or [str(number) for number in s.displays]:
        if not word.isdecimal() or int(word) not in s.displays:
            raise PromptError(f"nothing is displayed as {word}")
        del s.displays[int(word)]
    return []


@command("printf", usage='"TEXT", EXPRESSION, ...', says="a text with values: %d %u %x %p %c %s ...", family=_LOOKING)
def printf(s: Shell, text: str) -> list[str]:
    match = re.fullmatch(r'\s*"((?:\\.|[^"\\])*)"\s*(?:,(.*))?', text, re.S)
    if match is None:
        raise PromptError('printf "TEXT", EXPRESSION, ...')
    values = [s.value(part) for part in match[2].split(",")] if match[2] else []

    def converted(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        if not values:
            raise PromptError("there are more conversions than values")
        value = values.pop(0)
        if found[1] == "s":
            return _string(s, value)
        if found[1] == "c":
            return chr(value & 0xFF)
        return _NUMBERS[found[1]](value)

    out = _CONVERSION.sub(converted, re.sub(r'\\[nt"\\]', lambda found: _ESCAPES[found[0]], match[1]))
    return out.removesuffix("\n").split("\n")


def _string(s: Shell, address: int) -> str:
    from emu.debug.state import read

    data = read(s.d, address, 200, s.task().tid)
    return data.partition(b"\0")[0].decode("latin-1")
