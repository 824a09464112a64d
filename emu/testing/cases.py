"""cases.toml: tests of programs that have no source to write lines into, such as ELF files.

    [[case]]
    name = "sorts"
    program = "build/sort"            # relative to cases.toml
    run = ["args 3 1 2", "fork classic odf"]
    expect = ["exit == 0", 'stdout == "1\\n2\\n3\\n"', "faults.cow_copy <= 4"]

`run` and `expect` hold what RUN and EXPECT lines hold (grammar.py).
"""

import tomllib
from pathlib import Path
from typing import Any, Final

from emu.errors import EmuError
from emu.testing.grammar import Plan, read_line
from emu.testing.values import Words, short

_KEYS: Final = {"name", "program", "run", "expect"}


def parse_cases(path: Path) -> dict[str, Plan]:
    """The plans of a file by name. Raises EmuError for the first mistake."""
    text = path.read_text("utf-8")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EmuError(f"{short(path)}: error: {error}") from None
    lines = text.splitlines()
    plans: dict[str, Plan] = {}
    for case in document.get("case", []):
        name, plan = _case(path, lines, case)
        if name in plans:
            raise _mistake(path, lines, name, f"two cases are called {name}")
        plans[name] = plan
    if not plans:
        raise EmuError(f"{short(path)}: error: no [[case]]")
    return plans


def _case(path: Path, lines: list[str], case: dict[str, Any]) -> tuple[str, Plan]:
    name = case.get("name")
    if not isinstance(name, str) or not isinstance(case.get("program"), str):
        raise EmuError(f"{short(path)}: error: a case needs a name and a program, both strings")
    if unknown := set(case) - _KEYS:
        raise _mistake(
            path, lines, name, f"a case has no {', '.join(sorted(unknown))}; only {', '.join(sorted(_KEYS))}"
        )
    plan = Plan(short(path), str(path.parent / case["program"]))
    for key in ("run", "expect"):
        for text in case.get(key, []):
            if not isinstance(text, str):
                raise _mistake(path, lines, name, f"{key} is a list of strings")
            line, column = _position(lines, name, text)
            read_line(plan, key.upper(), Words(text, short(path), line, column, _row(lines, line) or text), text)
    return name, plan


def _mistake(path: Path, lines: list[str], name: str, message: str) -> EmuError:
    line, _column = _position(lines, name, name)
    return EmuError(message, file=short(path), line=line, source=_row(lines, line))


def _row(lines: list[str], line: int) -> str | None:
    return lines[line - 1] if line else None


def _position(lines: list[str], name: str, text: str) -> tuple[int, int]:
    """Line and column of a string, looked for behind the case's name; (0, 0) where it is written with escapes."""
    first = next((i for i, row in enumerate(lines) if name in row and "name" in row), 0)
    for i in range(first, len(lines)):
        column = lines[i].find(text)
        if column >= 0:
            return i + 1, column + 1
    return 0, 0
