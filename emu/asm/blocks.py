"""Directives that repeat or choose statements: .rept, .if, .ifdef, .ifndef, .elseif, .else (GNU as manual, chapter 7).

They are handled before what they enclose is looked at, so their operands must be numbers that are known by then.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.lexer import Statement

#: What ends each.
ENDS: Final = {".rept": ".endr", ".if": ".endif", ".ifdef": ".endif", ".ifndef": ".endif"}
#: What stands inside or at the end of a block, and nowhere else.
INNER: Final = frozenset((".endr", ".endif", ".else", ".elseif"))
MAX_REPEATED: Final = 1 << 18  # statements that .rept makes, in all

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


def parts(opening: Statement, word: str, following: Iterator[Statement]) -> list[Part]:
    """Take a whole block off `following`: the part of `opening`, and one for each .elseif and .else of its own.

    Raises SourceError when the block does not end, or another ends first.
    """
    found = [Part(opening, word, [])]
    open_blocks = [word]
    wrong = ""
    for statement in following:
        inner = word_of(statement)
        if inner in ENDS:
            open_blocks.append(inner)
        elif inner in ENDS.values():
            innermost = open_blocks.pop()
            if inner != ENDS[innermost]:
                raise SourceError(f"{innermost} ends with {inner}")
            if not open_blocks:
                if wrong:
                    raise SourceError(wrong)
                return found
        elif inner in INNER and len(open_blocks) == 1 and word != ".rept":
            if found[-1].word == ".else":
                wrong = f"{inner} behind .else"
            found.append(Part(statement, inner, []))
            continue
        found[-1].body.append(statement)
    raise SourceError(f"{word} without {ENDS[word]}")
