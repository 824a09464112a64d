"""Data of NASM: db and its kin, strings, floating-point numbers, and sections for them (NASM manual, 3.2, 8.9)."""

from collections.abc import Callable, Sequence
from typing import Final

from emu.asm.directives import MAX_SECTIONS
from emu.asm.errors import SourceError
from emu.asm.expr import Binary, Expr, Number, Symbol, Unary
from emu.asm.instructions import field
from emu.asm.items import EXEC, READ, WRITE, Bytes, Data, Section, Unit, What
from emu.asm.lexer import Token
from emu.asm.nasm_floats import floating
from emu.asm.nasm_operands import NasmCursor, plain

WIDTHS: Final = {"db": 1, "dw": 2, "dd": 4, "dq": 8, "dt": 10}
RESERVES: Final = {"resb": 1, "resw": 2, "resd": 4, "resq": 8, "rest": 10, "reso": 16}

MAX_DUP: Final = 1 << 16  # elements of one dup

_SECTIONS: Final = {
    ".text": READ | EXEC, ".rodata": READ, ".data": READ | WRITE, ".bss": READ | WRITE, ".tdata": READ | WRITE,
    ".tbss": READ | WRITE,
}  # fmt: skip
_ATTRIBUTES: Final = {"exec": (EXEC, 0), "noexec": (0, EXEC), "write": (WRITE, 0), "nowrite": (0, WRITE)}


def data(cursor: NasmCursor, width: int, known: Callable[[Expr], int]) -> list[What]:
    """The list behind db, dw, dd, dq or dt. `$` in it is the address of the statement; `known` gives counts of dup."""
    found: list[What] = []
    size = 0
    for new in _elements(cursor, width, known):
        what = Data(width, (_behind(new, size),)) if not isinstance(new, bytes) else Bytes(new)
        size += len(what.data) if isinstance(what, Bytes) else width
        _append(found, what)
    return found


def _elements(cursor: NasmCursor, width: int, known: Callable[[Expr], int]) -> list[Expr | bytes]:
    """What stands between commas, `N dup (LIST)` written out."""
    found: list[Expr | bytes] = []
    while True:
        column = cursor.column
        new = _element(cursor, width)
        if cursor.take("dup") and not isinstance(new, bytes):
            count = known(new)
            again = _elements(cursor, width, known) if cursor.take("(") else [_element(cursor, width)]
            cursor.take(")")
            if count < 0 or count * len(again) > MAX_DUP:
                raise SourceError(f"dup makes {count * len(again)} elements", column, "times N repeats a whole line")
            found += again * count
        else:
            found.append(new)
        if not cursor.take(","):
            return found


def _append(found: list[What], what: Bytes | Data) -> None:
    """Adds to the last one where that is of the same kind, so that long lists are few items."""
    last = found[-1] if found else None
    if isinstance(last, Bytes) and isinstance(what, Bytes):
        found[-1] = Bytes(last.data + what.data)
    elif isinstance(last, Data) and isinstance(what, Data):
        found[-1] = Data(last.width, last.values + what.values)
    else:
        found.append(what)


def _element(cursor: NasmCursor, width: int) -> Expr | bytes:
    token = cursor.token
    following = cursor.tokens[cursor.at + 1 : cursor.at + 2]
    if token is not None and token.kind == "string" and (not following or following[0].text in (",", ")")):
        cursor.at += 1
        text = token.text.encode("latin-1")
        return text + bytes(-len(text) % width)
    sign = -1 if cursor.peek("-") else 1
    at = cursor.at + (sign < 0)
    if at < len(cursor.tokens) and cursor.tokens[at].kind == "float":
        cursor.at = at + 1
        return floating(cursor.tokens[at], sign, width)
    if token is not None and token.text == "?":
        cursor.at += 1
        return bytes(width)
    if width == 10 and not any(t.text.lower() == "dup" for t in following):
        raise SourceError("dt takes numbers with a decimal point, and strings", cursor.column)
    expr = plain(cursor.expression())
    if not isinstance(expr, Number) or cursor.peek("dup"):
        return expr
    try:
        return field(expr.value, width)
    except SourceError as mistake:
        raise mistake.at(token.column if token else 0) from None


def _behind(expr: Expr, size: int) -> Expr:
    """`expr` of an element `size` bytes behind the start of its statement: `$` is still that start."""
    match expr:
        case Symbol("."):
            return Binary("-", expr, Number(size), expr.column) if size else expr
        case Unary(op, operand, column):
            return Unary(op, _behind(operand, size), column)
        case Binary(op, left, right, column):
            return Binary(op, _behind(left, size), _behind(right, size), column)
        case _:
            return expr


def section(unit: Unit, name: str, attributes: Sequence[Token], column: int) -> Section:
    """The section of that name, made at its first use with the attributes given there."""
    for known in unit.sections:
        if known.name == name:
            return known
    if len(unit.sections) >= MAX_SECTIONS:
        raise SourceError(f"more than {MAX_SECTIONS} sections", column)
    made = Section(name, _SECTIONS.get(name, READ), zero=name in (".bss", ".tbss"), discard=name.startswith(".note"))
    skip = 0
    for position, token in enumerate(attributes):
        word = token.text.lower()
        if position < skip:
            continue
        if word in _ATTRIBUTES:
            on, off = _ATTRIBUTES[word]
            made.flags = (made.flags | on) & ~off
        elif word in ("nobits", "progbits"):
            made.zero = word == "nobits"
        elif word in ("alloc", "noalloc"):
            made.discard = word == "noalloc"
        elif word == "align":
            skip = position + 3  # every section begins on a page of its own
        else:
            raise SourceError(f"unknown attribute {token.text} of a section", token.column)
    unit.sections.append(made)
    return made
