"""What NASM's preprocessor keeps: single-line macros (%define) and macros of several lines (NASM manual, ch. 4)."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from emu.asm import tables
from emu.asm.errors import Overflow, SourceError
from emu.asm.lexer import Statement
from emu.asm.sources import Place

MAX_LINE: Final = 1 << 16  # characters of a line after expansion
MAX_STEPS: Final = 1 << 12  # names replaced in one line

_STRING: Final = r"""'[^']*'|"[^"]*"|`(?:[^`\\]|\\.)*`"""
_PIECE: Final = re.compile(rf"(?P<keep>{_STRING}|\d[\w.]*|%[%$\w{{]*)|(?P<name>[A-Za-z_?.@][\w.?@#~$]*)|.", re.S)
_WORD: Final = re.compile(r"[A-Za-z_?.@][\w.?@#~$]*")
_PASTE: Final = re.compile(r"\s*%\+\s*")
_INDIRECT: Final = re.compile(r"%\[([^\]]*)\]")
_PARAMETER: Final = re.compile(r"%(?:%([\w.?@#~$]+)|(\d+)|\{(-?\d+)(?::(-?\d+))?\}|([+-])(\d+))")
_OPENS: Final = {"(": ")", "{": "}", "[": "]"}


class Define(NamedTuple):
    """A single-line macro; `parameters` is None for one without parentheses."""

    name: str
    parameters: tuple[str, ...] | None
    body: str


class Macro(NamedTuple):
    """A macro of several lines. `most` is -1 for any number of parameters; `greedy`: the last takes the rest."""

    name: str
    least: int
    most: int
    greedy: bool
    defaults: tuple[str, ...]
    body: tuple[Statement, ...]

    def takes(self, count: int) -> bool:
        """Whether it can be used with that many arguments."""
        return self.least <= count and (self.most < 0 or self.greedy or count <= self.most)


class Frame:
    """A macro of several lines in use: its arguments, its number, and where it is used."""

    def __init__(self, macro: Macro, arguments: list[str], number: int, caller: Place) -> None:
        if macro.greedy and len(arguments) > macro.most > 0:
            arguments[macro.most - 1 :] = [",".join(arguments[macro.most - 1 :])]
        missing = macro.least + len(macro.defaults) - len(arguments)
        if missing > 0 and macro.defaults:
            arguments += macro.defaults[-missing:]
        self.name = macro.name
        self.arguments = arguments
        self.number = number
        self.caller = caller

    def rotate(self, by: int) -> None:
        """%rotate: the first argument becomes the last; with a negative number the other way."""
        if self.arguments:
            by %= len(self.arguments)
            self.arguments = self.arguments[by:] + self.arguments[:by]

    def put_in(self, text: str) -> str:
        """`text` with the arguments in place of %1, the count of %0, and %%name made unique."""

        def value(match: re.Match[str]) -> str:
            if match[1]:
                return f"..@{self.number}.{match[1]}"
            first = int(match[2] or match[3] or match[6])
            if match[5]:
                return condition(self.arguments[first - 1] if 0 < first <= len(self.arguments) else "", match[5] == "-")
            if match[4]:
                return ",".join(self.arguments[first - 1 : int(match[4]) if int(match[4]) > 0 else None])
            if first == 0:
                return str(len(self.arguments))
            return self.arguments[first - 1] if 0 < first <= len(self.arguments) else ""

        return _PARAMETER.sub(value, text) if "%" in text else text


def condition(text: str, inverse: bool) -> str:
    """An argument that is a condition code, or the opposite of it (%+1 and %-1)."""
    name = text.lower()
    if name not in tables.CONDITIONS:
        raise SourceError(f"{text!r} is not a condition such as z, ne or ae")
    return tables.opposite(name) if inverse else name


class Defines:
    """The single-line macros; names of those made by %idefine are found in any case."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Define]] = {}
        self._folded: dict[str, list[Define]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._exact or name.lower() in self._folded

    def add(self, define: Define, fold: bool) -> None:
        """Replaces one of the same name and number of parameters; one without parentheses replaces all."""
        table, name = (self._folded, define.name.lower()) if fold else (self._exact, define.name)
        self._folded.pop(define.name.lower(), None) if not fold else self._exact.pop(define.name, None)
        others = [] if define.parameters is None else table.get(name, [])
        table[name] = [d for d in others if d.parameters and len(d.parameters) != len(define.parameters or ())]
        table[name].append(define)

    def remove(self, name: str) -> None:
        """%undef"""
        self._exact.pop(name, None)
        self._folded.pop(name.lower(), None)

    def expand(self, text: str, column: int) -> str:
        """`text` with all single-line macros expanded. Raises Overflow for those that grow without bound."""
        if not (self._exact or self._folded) or not self._touches(text):
            return _PASTE.sub("", text) if "%+" in text else text
        work = _Work(column)
        new = self._expanded(_INDIRECT.sub(lambda m: self._expanded(m[1], frozenset(), work), text), frozenset(), work)
        if "%+" in new:
            new = self._expanded(_PASTE.sub("", new), frozenset(), work)
        return new

    def _touches(self, text: str) -> bool:
        return any(word in self for word in _WORD.findall(text))

    def _expanded(self, text: str, inside: frozenset[str], work: "_Work") -> str:
        parts: list[str] = []
        at = 0
        while at < len(text):
            match = _PIECE.match(text, at)
            assert match is not None
            at = match.end()
            name = match["name"]
            found = (self._exact.get(name) or self._folded.get(name.lower())) if name and name not in inside else None
            if found is None:
                parts.append(match[0])
                continue
            body, at = self._applied(found, text, at, inside, work)
            if body is None:
                parts.append(match[0])
                continue
            work.step(len(body))
            parts.append(self._expanded(body, inside | {name}, work))
        return "".join(parts)

    def _applied(
        self, found: Sequence[Define], text: str, at: int, inside: frozenset[str], work: "_Work"
    ) -> tuple[str | None, int]:
        """The body of the one that fits what stands behind the name, arguments put in, and the place behind them."""
        rest = text[at:].lstrip()
        if found[0].parameters is None:
            return found[0].body, at
        if not rest.startswith("("):
            return None, at
        start = len(text) - len(rest) + 1
        end = _closing(text, start)
        values = split(text[start:end]) if text[start:end].strip() else []
        define = next((d for d in found if d.parameters is not None and len(d.parameters) == len(values)), None)
        if define is None or end >= len(text):
            return None, at
        values = [self._expanded(value, inside, work) for value in values]
        table = dict(zip(define.parameters or (), values, strict=True))
        return _PIECE.sub(lambda m: table.get(m[0], m[0]), define.body), end + 1


class _Work:
    """How much the expansion of one line has done."""

    def __init__(self, column: int) -> None:
        self.column = column
        self.steps = self.size = 0

    def step(self, size: int) -> None:
        self.steps += 1
        self.size += size
        if self.steps > MAX_STEPS or self.size > MAX_LINE:
            raise Overflow(f"the macros of this line make more than {MAX_LINE >> 10} KiB of text", self.column)


def _closing(text: str, at: int) -> int:
    """Where the parenthesis closes that opened before `at`."""
    depth = 1
    while at < len(text):
        depth += (text[at] == "(") - (text[at] == ")")
        if not depth:
            break
        at += 1
    return at


def split(text: str) -> list[str]:
    """Arguments between commas that are in no string and no brackets; braces around one are taken off."""
    found: list[str] = []
    start = at = 0
    stack: list[str] = []
    while at < len(text):
        match = re.compile(_STRING).match(text, at)
        if match is not None:
            at = match.end()
            continue
        c = text[at]
        if c in _OPENS:
            stack.append(_OPENS[c])
        elif stack and c == stack[-1]:
            stack.pop()
        elif c == "," and not stack:
            found.append(text[start:at])
            start = at + 1
        at += 1
    found.append(text[start:])
    return [s[1:-1] if s.startswith("{") and s.endswith("}") else s for s in (f.strip() for f in found)]


def arguments(text: str) -> list[str]:
    """The arguments of a macro of several lines: none if there is nothing."""
    return split(text) if text.strip() else []


def header(text: str, body: Sequence[Statement], column: int) -> Macro:
    """The macro that `%macro` defines: `text` is NAME COUNT or NAME LEAST-MOST or LEAST-*, perhaps +, and defaults."""
    match = re.compile(r"([A-Za-z_?.@][\w.?@#~$]*)\s+(\d+)(?:-(\d+|\*))?(\+)?\s*(?:\.nolist\s*)?(.*)$").match(text)
    if match is None:
        raise SourceError(
            "a macro has a name and a number of parameters", column, "%macro NAME 2, or NAME 1-3 with defaults behind"
        )
    name, least, most, greedy, defaults = match.groups()
    upper = int(least) if most is None else -1 if most == "*" else int(most)
    if 0 <= upper < int(least):
        raise SourceError(f"macro {name} takes at least {least} and at most {upper} parameters", column)
    return Macro(name, int(least), upper, bool(greedy), tuple(arguments(defaults)), tuple(body))


def define(text: str, column: int) -> Define:
    """The single-line macro of `%define`: NAME BODY or NAME(A, B) BODY."""
    match = re.compile(r"([A-Za-z_?.@][\w.?@#~$]*)(?:\(([^)]*)\))?\s*(.*)$", re.S).match(text)
    if match is None:
        raise SourceError("a name expected", column)
    names = None
    if match[2] is not None:
        names = tuple(n.strip().lstrip("=&+!") for n in match[2].split(",")) if match[2].strip() else ()
    return Define(match[1], names, match[3].strip())
