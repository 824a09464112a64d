"""Literals of EXPECT and RUN lines: numbers, names of the kernel's interface, strings; and where they go wrong."""

import functools
import os
import re
from pathlib import Path
from typing import Final

from emu.errors import EmuError

#: A word of a line: a string, or anything up to a blank, a bracket, a comma or an operator.
TOKEN: Final = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<op>[=!<>]=|<|>)|(?P<mark>[\[\],+=])|(?P<word>[^\s\[\],+=!<>"]+))'
)
_ESCAPE: Final = re.compile(rb"\\(?:x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"\\": b"\\", b'"': b'"'}


class LineError(EmuError):
    """A line that cannot be understood: a mistake of the test, not of the program."""


class Words:
    """The words of one line, with their columns."""

    def __init__(self, text: str, file: str, line: int, column: int, source: str) -> None:
        """`text` begins at `column` (from 1) of line `line`, which is `source`."""
        self._text, self._at = text, 0
        self._file, self._line, self._column, self._source = file, line, column, source
        self.where = f"{file}:{line}"

    def error(self, message: str, at: int | None = None) -> LineError:
        """An error at a position of `text`, by default here."""
        column = self._column + (self._skip() if at is None else at)
        return LineError(message, file=self._file, line=self._line, column=column, source=self._source)

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    @property
    def at(self) -> int:
        """Where the next word begins."""
        return self._skip()

    @property
    def done(self) -> bool:
        """True behind the last word."""
        return self._skip() >= len(self._text)

    def take(self, what: str) -> tuple[str, str]:
        """The kind and text of the next word. Raises LineError that says what was expected."""
        found = TOKEN.match(self._text, self._at)
        if self.done or found is None:
            raise self.error(f"expected {what}")
        self._at = found.end()
        return found.lastgroup or "", found[found.lastgroup or 0]

    def peek(self) -> str:
        """The next word, "" at the end."""
        found = TOKEN.match(self._text, self._skip())
        return found[found.lastgroup or 0] if found else ""

    def word(self, what: str) -> str:
        """The next word, which must be a bare one."""
        at = self.at
        kind, text = self.take(what)
        if kind != "word":
            raise self.error(f"expected {what}, not {text}", at)
        return text

    def string(self, what: str) -> bytes:
        """The next word as bytes: a quoted string with Python's escapes, or a bare word."""
        at = self.at
        kind, text = self.take(what)
        if kind == "word":
            return text.encode("utf-8", "surrogateescape")
        if kind != "string":
            raise self.error(f"expected {what}, not {text}", at)
        return self.literal(text, at)

    def literal(self, text: str, at: int) -> bytes:
        r"""A quoted string: \n \t \r \0 \\ \" and \x41 are understood; other characters are UTF-8."""

        def unescape(found: re.Match[bytes]) -> bytes:
            escape = found[0][1:]
            if escape[:1] == b"x":
                return bytes([int(escape[1:], 16)])
            if escape not in _ESCAPES:
                raise self.error(f"\\{escape.decode(errors='replace')} means nothing in a string", at + found.start())
            return _ESCAPES[escape]

        return _ESCAPE.sub(unescape, self.raw(text))

    @staticmethod
    def raw(text: str) -> bytes:
        """A quoted string as it stands, for regular expressions."""
        return text[1:-1].encode("utf-8", "surrogateescape")

    def number(self, what: str) -> int:
        """The next word as a number."""
        at = self.at
        text = self.word(what)
        value = number(text)
        if value is None:
            raise self.error(f"expected {what}, not {text}", at)
        return value

    def end(self) -> None:
        """Raises LineError if words are left."""
        if not self.done:
            raise self.error(f"nothing more is understood here: {self._text[self._at :].strip()}")


def number(text: str) -> int | None:
    """A number (7, -1, 0x1f, 64M), or a name of the kernel's interface (SIGSEGV, EINVAL); None if it is neither."""
    digits, factor = text, 1
    if text[-1:] in "KMG" and text[:-1].isdigit():
        digits, factor = text[:-1], 1 << 10 * (1 + "KMG".index(text[-1]))
    try:
        return int(digits, 0) * factor
    except ValueError:
        return _constants().get(text)


def short(path: Path) -> str:
    """A path as messages show it: from the current directory on where it is below that."""
    full, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(full, here) if full.startswith(here.rstrip("/") + "/") else full


@functools.cache
def _constants() -> dict[str, int]:
    from mini_kernel.uapi import constants

    return constants()
