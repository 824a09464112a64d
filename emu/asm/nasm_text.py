"""The words of NASM source: statements without comments, tokens, numbers in all their spellings (NASM manual, ch. 3).

Strings stand between ' or ", where a backslash is a backslash, or between `, where escapes are as in C. A string of up
to eight characters is a number, too, the first character lowest.
"""

import re
from collections.abc import Iterator
from typing import Final

from emu.asm.errors import SourceError
from emu.asm.lexer import Statement, Token, unescape
from emu.asm.sources import Place

_STRING: Final = r"""'[^']*'|"[^"]*"|`(?:[^`\\]|\\.)*`"""
_CODE: Final = re.compile(rf"(?:{_STRING}|[^;'\"`])*")
_TOKEN: Final = re.compile(
    rf"""\s*(?:
      (?P<string>{_STRING})
    | (?P<float>\d[\d_]*\.[\d_]*(?:[eE][+-]?\d+)?(?![\w.])|\d[\d_]*[eE][+-]?\d+(?![\w.])|\d[\d_]*[eE](?=[+-]\d))
    | (?P<number>\d\w*|\$\d\w*)
    | (?P<name>\$?[A-Za-z_.?@][\w.?@\#~$]*)
    | (?P<punct><<|>>|<=|>=|<>|==|!=|&&|\|\||//|%%|\$\$|[-+*/%&|^~!()\[\]:,$=<>?{{}}])
    | (?P<bad>\S)
    )""",
    re.X,
)
#: Of strings between `, besides those of numbers (NASM manual 3.4.2).
ESCAPES: Final = {
    **{c: ord(c) for c in "'\"`\\?"},
    "a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "e": 27,
}  # fmt: skip
_UNICODE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.S)
_BASES: Final = {"h": 16, "x": 16, "b": 2, "y": 2, "q": 8, "o": 8, "d": 10, "t": 10}


def statements(text: str, file: int) -> Iterator[Statement]:
    """The statements of a file: one a line, a backslash at the end of a line joins the next to it."""
    joined, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        first = first or number
        if line.endswith("\\"):
            joined += line[:-1]
            continue
        joined += line
        place = Place(file, first)
        match = _CODE.match(joined)
        assert match is not None
        code = match[0]
        if joined[match.end() : match.end() + 1] not in ("", ";"):
            code = joined  # a string that never ends, which `tokens` will say if the line counts
        if code.strip():
            yield Statement(place, len(code) - len(code.lstrip()) + 1, code.strip(), False)
        joined, first = "", 0


def tokens(text: str, column: int) -> list[Token]:
    """The tokens of a statement that starts at `column`. Raises SourceError at the first character that is none."""
    found: list[Token] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None and match.lastgroup is not None
        found.append(_token(match.lastgroup, match[match.lastgroup], column + match.start(match.lastgroup)))
        at = match.end()
    return found


def _token(group: str, text: str, column: int) -> Token:
    match group:
        case "string":
            data = string_bytes(text, column)
            return Token("string", data.decode("latin-1"), column, int.from_bytes(data[:8], "little"))
        case "number":
            return Token("number", text, column, _number(text, column))
        case "name":
            return Token("name", text, column)
        case "float":
            return Token("float", text.replace("_", ""), column)
        case "punct":
            return Token("punct", text, column)
        case _ if text in "'\"`":
            raise SourceError("string never ends", column, f"a {text} closes it")
        case _:
            hint = "comments begin with ; in NASM" if text in "#" else ""
            raise SourceError(f"unexpected character {text!a}", column, hint)


def string_bytes(text: str, column: int) -> bytes:
    """The bytes of a string as it is written, quotes included."""
    if text[0] == "`":
        return unescape(_UNICODE.sub(lambda m: _character(m, column), text[1:-1]), column, ESCAPES)
    return text[1:-1].encode("utf-8", "surrogateescape")


def _character(match: re.Match[str], column: int) -> str:
    r"""What \u and \U stand for; other escapes as they are."""
    digits = match[1] or match[2]
    if not digits:
        return match[0]
    if int(digits, 16) > 0x10FFFF:
        raise SourceError(f"{match[0]} is not a character", column)
    return chr(int(digits, 16)).replace("\\", r"\\")


def _number(text: str, column: int) -> int:
    """All of NASM's spellings: 10h 0x10 $10 1010b 0b1010 17q 0o17 10d 0d10, and _ between digits."""
    digits, base = text.lower().replace("_", ""), 10
    if digits[0] == "$":
        digits, base = digits[1:], 16
    elif digits[0] == "0" and digits[1:2] in _BASES and len(digits) > 2 and _fits(digits[2:], _BASES[digits[1]]):
        digits, base = digits[2:], _BASES[digits[1]]
    elif digits[-1] in _BASES and digits[-1] != "x":
        digits, base = digits[:-1], _BASES[digits[-1]]
    if not _fits(digits, base):
        raise SourceError(f"{text} is not a number", column, "hexadecimal is 0x10, $10 or 10h, binary 0b101 or 101b")
    value = int(digits, base)
    if value >= 1 << 64:
        raise SourceError(f"{text} does not fit into 64 bits", column)
    return value


def _fits(digits: str, base: int) -> bool:
    return bool(digits) and all(c in "0123456789abcdef"[:base] for c in digits)
