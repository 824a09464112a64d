"""cases.toml: tests of programs that have no source to write lines into, such as ELF files.

    [[case]]
    name = "sorts"
    program = "build/sort"            # relative to cases.toml
    run = ["args 3 1 2", "fork classic odf"]
    expect = ["exit == 0", 'stdout == "1\\n2\\n3\\n"', "faults.cow_copy <= 4"]

`run` and `expect` hold what RUN and EXPECT lines hold (grammar.py).
"""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from emu.errors import EmuError
from emu.testing.grammar import Plan, read_line, read_text
from emu.testing.values import Words, short

_KEYS: Final = ("name", "program", "run", "expect")
_HEAD: Final = re.compile(r"^\s*\[\[\s*case\s*\]\]")
_AT: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_RESERVED: Final = ("::", "[", "]")  # what the ids of tests are made with


def parse_cases(path: Path) -> dict[str, Plan]:
    """The plans of a file by name. Raises EmuError for the first mistake."""
    text = read_text(path)
    document = _document(path, text)
    cases: Any = document.pop("case", None)
    if not isinstance(cases, list):
        raise EmuError("write [[case]] before each case", file=short(path))
    if document:
        raise EmuError(f"only [[case]] is understood here, not {', '.join(sorted(document))}", file=short(path))
    plans: dict[str, Plan] = {}
    blocks = _Block.of(path, text.splitlines(), len(cast(list[Any], cases)))
    for block, case in zip(blocks, cast(list[Any], cases), strict=True):
        name, plan = _case(block, case)
        if name in plans:
            raise block.mistake(f"two cases are called {name}", "name")
        plans[name] = plan
    return plans


def _document(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, found = str(error), _AT.search(str(error))
        if found is None:
            raise EmuError(message, file=short(path)) from None
        line, column = int(found[1]), int(found[2])
        source = text.splitlines()[line - 1] if line <= text.count("\n") + 1 else None
        raise EmuError(message[: found.start()], file=short(path), line=line, column=column, source=source) from None


class _Block:
    """The lines of one case, to say where a mistake is: [first, end), counted from 0."""

    def __init__(self, path: Path, lines: Sequence[str], first: int, end: int) -> None:
        self.path = path
        self._lines, self._first, self._end = lines, first, end

    @staticmethod
    def of(path: Path, lines: Sequence[str], count: int) -> "list[_Block]":
        """Those of all cases; for cases that are not written as tables, the whole file."""
        heads = [i for i, line in enumerate(lines) if _HEAD.match(line)]
        if len(heads) != count:
            return [_Block(path, lines, 0, len(lines))] * count
        return [_Block(path, lines, first, end) for first, end in zip(heads, [*heads[1:], len(lines)], strict=True)]

    def mistake(self, message: str, key: str) -> EmuError:
        """An error at the line of a key; at the first line of the case, if it is not there."""
        row = self.row(key)
        return EmuError(message, file=short(self.path), line=row + 1, source=self._lines[row])

    def row(self, key: str) -> int:
        """The line of a key."""
        starts = re.compile(rf"\s*[\"']?{re.escape(key)}\b")
        return next((i for i in range(self._first, self._end) if starts.match(self._lines[i])), self._first)

    def words(self, key: str, text: str) -> Words:
        """One of the strings behind a key, with its place: in a file with escapes, the column is that in the string."""
        for written, whole in ((text, True), (json.dumps(text)[1:-1], False)):
            for i in range(self.row(key), self._end):
                column = self._lines[i].find(written)
                if column >= 0:
                    return Words(text, short(self.path), i + 1, *((column + 1, self._lines[i]) if whole else (1, text)))
        return Words(text, short(self.path), self.row(key) + 1, 1, text)


def _case(block: _Block, case: Any) -> tuple[str, Plan]:
    if not isinstance(case, dict):
        raise block.mistake("a case is a table: write [[case]] before each", "case")
    table = cast(dict[str, Any], case)
    for key in table:
        if key not in _KEYS:
            raise block.mistake(f"a case has no {key}; only {', '.join(_KEYS)}", key)
    for key in ("name", "program"):
        if not table.get(key) or not isinstance(table[key], str):
            raise block.mistake(f"a case needs a {key}, a string", key)
    name: str = table["name"]
    if any(mark in name for mark in _RESERVED):
        raise block.mistake(f"the name of a case may not hold {' or '.join(_RESERVED)}", "name")
    path = block.path
    plan = Plan(short(path), str(path.parent / table["program"]), program_where=(short(path), block.row("program") + 1))
    for key in ("run", "expect"):
        texts: Any = table.get(key, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in cast(list[Any], texts)):
            raise block.mistake(f"{key} is a list of strings", key)
        for text in cast(list[str], texts):
            read_line(plan, key.upper(), block.words(key, text), text)
    return name, plan
