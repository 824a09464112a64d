"""Directives with a body: .rept, .irp, .irpc, .macro, and the conditions (GNU as manual, chapter 7).

They are handled before what they enclose is looked at, so their operands must be numbers that are known by then.
Only directives of a block's own kind are looked for inside it: what a condition leaves out need not make sense.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.lexer import Statement

#: Conditions that compare a number with 0, and those about names and text.
NUMERIC: Final = {".if": "!=", ".ifne": "!=", ".ifeq": "==", ".ifgt": ">", ".ifge": ">=", ".iflt": "<", ".ifle": "<="}
TEXTUAL: Final = (".ifdef", ".ifndef", ".ifnotdef", ".ifb", ".ifnb", ".ifc", ".ifnc", ".ifeqs", ".ifnes")
REPEATS: Final = (".rept", ".irp", ".irpc")
#: What ends each.
ENDS: Final = {
    **dict.fromkeys((*NUMERIC, *TEXTUAL), ".endif"),
    **dict.fromkeys(REPEATS, ".endr"),
    ".macro": ".endm",
}
#: What stands inside or at the end of a block, and nowhere else.
INNER: Final = frozenset((".endr", ".endif", ".else", ".elseif", ".endm"))

_WORD: Final = re.compile(r"(?:[\w.?@$]+\s*:\s*)*(\.[A-Za-z]+)")


class Part(NamedTuple):
    """A piece of a block: the directive that opens it, and the statements up to the next."""

    opening: Statement
    word: str
    body: list[Statement]


def word_of(statement: Statement) -> str:
    """The directive a statement holds, behind its labels, in small letters; "" if it holds none."""
    match = _WORD.match(statement.text)
    return match[1].lower() if match else ""


def operand_of(statement: Statement) -> tuple[str, int]:
    """The text behind that directive, and its column."""
    match = _WORD.match(statement.text)
    at = match.end() if match else 0
    return statement.text[at:], statement.column + at


def parts(opening: Statement, word: str, following: Iterator[Statement]) -> list[Part]:
    """Take a whole block off `following`: the part of `opening`, and one for each .elseif and .else of its own.

    Raises SourceError when the block does not end.
    """
    found = [Part(opening, word, [])]
    end = ENDS[word]
    depth = 1
    wrong = ""
    for statement in following:
        inner = word_of(statement)
        if ENDS.get(inner) == end:
            depth += 1
        elif inner == end:
            depth -= 1
            if not depth:
                if wrong:
                    raise SourceError(wrong)
                return found
        elif end == ".endif" and inner in (".else", ".elseif") and depth == 1:
            if found[-1].word == ".else":
                wrong = f"{inner} behind .else"
            found.append(Part(statement, inner, []))
            continue
        found[-1].body.append(statement)
    raise SourceError(f"{word} without {end}")


def compares(word: str, number: int) -> bool:
    """Whether the numeric condition `word` holds."""
    relation = NUMERIC[word]
    return {
        "!=": number != 0, "==": number == 0, ">": number > 0, ">=": number >= 0, "<": number < 0, "<=": number <= 0,
    }[relation]  # fmt: skip
