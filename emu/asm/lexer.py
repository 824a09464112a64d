"""Source text to statements, and a statement to tokens.

A statement is what stands between newlines (and, in AT&T syntax, semicolons) once comments are gone. Comments are
`#` and `//` to the end of the line and `/* */`; in Intel syntax `;` starts a comment too, as in NASM and MASM, while
in AT&T syntax it separates statements, as in GNU as. Nothing inside a string or character constant is a comment.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.sources import Place

Kind = Literal["number", "float", "string", "name", "local", "punct"]


class Token(NamedTuple):
    """A token: `value` is the integer of a number, `text` the bytes of a string decoded as latin-1."""

    kind: Kind
    text: str
    column: int
    value: int = 0


class Statement(NamedTuple):
    """One statement without comments. `column` is where its text starts, from 1; `att` is the syntax in force."""

    place: Place
    column: int
    text: str
    att: bool


_STRING: Final = r'"(?:[^"\\]|\\.)*"'
#: Between quotes; where no other follows on the line, the one behind the character may be missing, as in GNU as.
_CHAR: Final = r"'(?:[^'\\]|\\(?:[0-7]{1,3}|x[0-9a-fA-F]{1,2}|.))(?:'|(?=[^']*$))"
_PIECE: Final = re.compile(
    rf"(?P<text>{_STRING}|{_CHAR})|(?P<line>#|//)|(?P<block>/\*)|(?P<semi>;)|(?P<other>[^\"'#/;]+|.)", re.S
)
_WORD: Final = re.compile(r"[\w.?@$]+")
_SYNTAX: Final = re.compile(r"\s*\.(intel|att)_syntax\b")
_TOKEN: Final = re.compile(
    rf"""\s*(?:
      (?P<string>{_STRING})
    | (?P<char>{_CHAR})
    | (?P<float>\d+\.\d*(?:[eE][+-]?\d+)?(?![\w.])|\.\d+(?:[eE][+-]?\d+)?(?![\w.])|\d+[eE][+-]?\d+(?![\w.]))
    | (?P<number>0[xX][0-9a-fA-F]+(?!\w)|0[bB][01]+(?!\w)|\d+(?!\w))
    | (?P<local>\d+[bf](?!\w))
    | (?P<badnumber>\d\w*)
    | (?P<name>[A-Za-z_.?@][\w.?@$]*)
    | (?P<punct><<|>>|<=|>=|<>|==|!=|&&|\|\||[-+*/%&|^~!()\[\]:,$={{}}<>])
    | (?P<bad>\S)
    )""",
    re.X | re.A,
)
_ESCAPES: Final = {"b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39}
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]*|.)", re.S)


_QUOTES: Final = "text is written in double quotes, as data"


class Splitter:
    """Cuts the source text of file number `file` into statements and collects the mistakes found on the way."""

    def __init__(self, att: bool, file: int = 0) -> None:
        self.att = att
        self.file = file
        self.mistakes: list[tuple[Place, SourceError]] = []
        self.broken: set[str] = set()  # the first words of statements that are left out
        self._in_block = False
        self._block_at = (Place(file, 0), 0)  # where the last comment in /* */ begins

    def split(self, source: str) -> Iterator[Statement]:
        """The statements of `source`, in order; lines count from 1."""
        for number, line in enumerate(source.split("\n"), 1):
            place = Place(self.file, number)
            for column, text in self._pieces(place, line.rstrip("\r")):
                switch = _SYNTAX.match(text)
                if switch:
                    self.att = switch[1] == "att"
                stripped = text.strip()
                if stripped:
                    yield Statement(place, column + len(text) - len(text.lstrip()), stripped, self.att)
        if self._in_block:
            place, column = self._block_at
            self.mistakes.append((place, SourceError("comment /* never ends", column)))

    def _pieces(self, place: Place, line: str) -> list[tuple[int, str]]:
        """(column, text) of the statements on one line; a comment inside becomes one space."""
        pieces: list[tuple[int, str]] = []
        at, start, text = 0, 0, ""
        while at < len(line):
            if self._in_block:
                at, text = self._skip_block(line, at, text)
                continue
            match = _PIECE.match(line, at)
            if match is None or match["line"] or (match["semi"] and not self.att):
                break
            if match["semi"]:
                pieces.append((start + 1, text))
                start, text = match.end(), ""
            elif match["block"]:
                self._in_block = True
                self._block_at = place, at + 1
                text += "  "
            else:
                if match["other"] == '"':
                    hint = 'a " closes it; a " inside is written \\"'
                    self.mistakes.append((place, SourceError("string never ends", at + 1, hint)))
                    self.broken.update(_WORD.findall(text)[:2])
                    return pieces
                text += match[0]
            at = match.end()
        pieces.append((start + 1, text))
        return pieces

    def _skip_block(self, line: str, at: int, text: str) -> tuple[int, str]:
        """Skips to behind `*/` or the end of the line; pads with blanks so that columns stay true."""
        end = line.find("*/", at)
        self._in_block = end < 0
        stop = len(line) if end < 0 else end + 2
        return stop, text + " " * (stop - at)


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
            return Token("string", unescape(text[1:-1], column).decode("latin-1"), column)
        case "char":
            closed = text.endswith("'") and text != "'\\'"
            data = unescape(text[1:-1] if closed else text[1:], column)
            if len(data) != 1:
                raise SourceError(f"{text} is not one byte", column, 'text is written in double quotes, "..."')
            return Token("number", text, column, data[0])
        case "number":
            return Token("number", text, column, _integer(text, column))
        case "badnumber":
            raise SourceError(f"{text} is not a number", column, _number_hint(text))
        case "bad":
            raise SourceError(_bad_character(text), column, _QUOTES if text == "'" else "")
        case "name" | "punct" | "local" | "float":
            return Token(group, text, column)
        case _:
            raise AssertionError(group)


def _bad_character(text: str) -> str:
    if text == "'":
        return "character constant is not one character between single quotes"
    return f"unexpected character {text!a}"


def _number_hint(text: str) -> str:
    """For the ways NASM writes numbers."""
    digits, suffix = text[:-1].replace("_", ""), text[-1].lower()
    for letter, base, prefix in (("h", 16, "0x"), ("b", 2, "0b"), ("q", 8, "0"), ("o", 8, "0")):
        if suffix == letter and digits and all(c in "0123456789abcdef"[:base] for c in digits.lower()):
            return f"write {prefix}{digits}; {text} is NASM's spelling (--syntax nasm)"
    return "names begin with a letter, numbers have digits only (hexadecimal: 0x...)"


def _integer(text: str, column: int) -> int:
    """GNU as reads a leading zero as octal; so do we, and 08 is a mistake rather than 8."""
    try:
        value = int(text, 8) if text[0] == "0" and text.isdigit() else int(text, 0)
    except ValueError:
        raise SourceError(f"{text} is not a number (a leading 0 means octal)", column) from None
    return value


def unescape(text: str, column: int, escapes: Mapping[str, int] = _ESCAPES) -> bytes:
    """The bytes of a string literal's inside: UTF-8, with `escapes`, octal ones and two-digit \\xHH."""

    def replace(match: re.Match[bytes]) -> bytes:
        escape = match[1].decode("latin-1")
        if escape[0] in "01234567":
            value = int(escape, 8)
        elif escape[0] == "x" and len(escape) in (2, 3):
            value = int(escape[1:], 16)
        else:
            value = escapes.get(escape, 256)
        if value > 255:
            shown = ascii("\\" + escape)[1:-1].replace("\\\\", "\\")
            raise SourceError(f"unknown or too long escape {shown} in a string", column)
        return bytes([value])

    return _ESCAPE.sub(replace, text.encode("utf-8", "surrogateescape"))
