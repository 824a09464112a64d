"""Macros of GNU as: .macro, .irp and .irpc put text in place of \\NAME (GNU as manual, 7.76 Macro, 7.67 Irp).

Arguments are text: they stand apart by commas, or by blanks where no operator joins what is beside them.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from emu.asm.errors import Overflow, SourceError
from emu.asm.lexer import Statement
from emu.asm.sources import Expansion, Place

MAX_STATEMENTS: Final = 1 << 15  # that .rept, .irp and macros make, in all
MAX_TEXT: Final = 1 << 23  # characters of them
MAX_ARGUMENTS: Final = 1 << 14  # characters of the arguments of one use

_USE: Final = re.compile(r"\\(@|\(\)|[A-Za-z_.$][\w.$]*)")
_NAME: Final = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*,?")
_PARAMETER: Final = re.compile(r"\s*([A-Za-z_$][\w$]*)(?:\s*:\s*(req|vararg))?(?:\s*=\s*)?")
_KEYWORD: Final = re.compile(r"([A-Za-z_$][\w$]*)\s*=(?!=)")
_SPACES: Final = re.compile(r"""("(?:[^"\\]|\\.)*")|\s*([,+*/()\[\]-])\s*""")
_ARGUMENT: Final = re.compile(
    r"""\s*(?:("(?:[^"\\]|\\.)*")|('(?:[^'\\]|\\.)'?)|(,)|([(\[])|([)\]])|([-+*/%&|^~!<>=@$:]+)|([^\s,"'()\[\]]))"""
)


class Parameter(NamedTuple):
    """`default` is "" without one; `rest` takes all arguments that are left."""

    name: str
    default: str
    required: bool
    rest: bool


class Macro(NamedTuple):
    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]


class Budget:
    """How much text expansions may still make; `number` counts uses of macros, for \\@."""

    def __init__(self) -> None:
        self.statements = 0
        self.text = 0
        self.number = 0

    def take(self, count: int, text: int, what: str, column: int) -> None:
        """Raises Overflow when there is not enough left."""
        self.statements += count
        self.text += text
        if self.statements > MAX_STATEMENTS or self.text > MAX_TEXT:
            raise Overflow(
                f"{what} makes more than {MAX_STATEMENTS} statements or {MAX_TEXT >> 20} MiB of text",
                column,
                "a macro that uses itself needs an .if that ends it; .fill or .zero make many equal bytes",
            )


def define(text: str, body: list[Statement], column: int) -> Macro:
    """The macro of a `.macro` directive: `text` is what stands behind that word, from `column` on."""
    match = _NAME.match(text)
    if match is None:
        raise SourceError("a name for the macro expected", column)
    parameters: list[Parameter] = []
    at = match.end()
    while text[at:].strip():
        found = _PARAMETER.match(text, at)
        if found is None:
            raise SourceError(f"a parameter expected, found '{text[at:].strip()}'", column + at)
        default, at = "", found.end()
        if found[0].rstrip().endswith("="):
            default, at = _argument(text, at)
        if any(p.name == found[1] for p in parameters):
            raise SourceError(f"two parameters are called {found[1]}", column + found.start(1))
        parameters.append(Parameter(found[1], default, found[2] == "req", found[2] == "vararg"))
        rest = re.compile(r"\s*,?").match(text, at)
        at = rest.end() if rest else at
    return Macro(match[1], tuple(parameters), tuple(body))


def bind(macro: Macro, text: str, column: int) -> dict[str, str]:
    """The value of every parameter where the macro is used with the arguments in `text`."""
    if len(text) > MAX_ARGUMENTS:
        raise Overflow(f"the arguments of macro {macro.name} are longer than {MAX_ARGUMENTS} characters", column)
    values: dict[str, str] = {}
    free: list[Parameter] = list(macro.parameters)
    at = 0
    while at < len(text):
        keyword = _KEYWORD.match(text, at)
        if keyword and any(p.name == keyword[1] for p in macro.parameters):
            values[keyword[1]], at = _argument(text, keyword.end())
        elif not free:
            raise SourceError(
                f"macro {macro.name} takes {len(macro.parameters)} argument{'s' * (len(macro.parameters) != 1)},"
                f" '{text[at:].strip()}' is left over",
                column + at,
            )
        elif free[0].rest:
            values[free[0].name], at = _SPACES.sub(lambda m: m[1] or m[2], text[at:]), len(text)
        else:
            values[free[0].name], at = _argument(text, at)
        free = [p for p in free if p.name not in values]
        at = _behind_separator(text, at)
    for parameter in macro.parameters:
        if not values.get(parameter.name):
            if parameter.required:
                raise SourceError(f"macro {macro.name} needs a value for {parameter.name}", column)
            values[parameter.name] = parameter.default
    return values


def arguments(text: str) -> list[str]:
    """The arguments of .irp: at least one, which may be empty."""
    found: list[str] = []
    at = 0
    while at < len(text):
        value, at = _argument(text, at)
        found.append(value)
        at = _behind_separator(text, at)
    return found or [""]


def expand(body: tuple[Statement, ...], values: dict[str, str], number: int, use: Expansion) -> Iterator[Statement]:
    """The statements of `body` with the values put in, \\@ being `number`. `use` gives the name and caller."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "@":
            return str(number)
        return "" if match[1] == "()" else values.get(match[1], match[0])

    for place, column, text, att in body:
        new = _USE.sub(value, text) if "\\" in text else text
        lead = new.lstrip()
        before = " " * (column - 1)
        caller = use.caller or (place.expansion.caller if place.expansion else None)
        name = use.name or (place.expansion.name if place.expansion else "")
        yield Statement(Place(place.file, place.line, Expansion(name, before + lead, caller)), column, lead, att)


def _behind_separator(text: str, at: int) -> int:
    """Behind the blanks and one comma."""
    while at < len(text) and text[at].isspace():
        at += 1
    if text[at : at + 1] == ",":
        at += 1
        while at < len(text) and text[at].isspace():
            at += 1
    return at


def _argument(text: str, at: int) -> tuple[str, int]:
    """One argument from `at` on, and where it ends: at a comma, or at a blank that no operator and no bracket spans."""
    parts: list[str] = []
    depth, joined = 0, True  # joined: what follows belongs to it whatever blanks are between
    while (match := _ARGUMENT.match(text, at)) is not None:
        _string, _char, comma, opens, closes, operator, _other = match.groups()
        apart = match[0][0].isspace()
        if comma or (apart and not joined and not depth and not _joins(text, operator, match.end())):
            break
        depth += bool(opens) - bool(closes)
        joined = bool(opens or operator)
        parts.append(match[0].strip())
        if apart and not operator and len(parts) > 1 and (parts[-2][-1] + parts[-1][0]).isalnum():
            parts.insert(-1, " ")
        at = match.end()
    if len(parts) == 1 and parts[0].startswith('"'):
        return parts[0][1:-1], at
    return "".join(parts), at


def _joins(text: str, operator: str | None, end: int) -> bool:
    """A binary operator joins what is on both sides; a sign that touches what follows only begins an argument."""
    return bool(operator) and not (operator in ("-", "$", "%", "~", "!", "@") and not text[end : end + 1].isspace())
