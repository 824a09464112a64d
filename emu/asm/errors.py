"""Mistakes in assembler source.

SourceError     raised while one statement is handled; knows a column, not the file
  Undefined     a name that nothing defines
  Overflow      an expansion that gets out of hand: the rest of the source is not looked at
Mistake     one of them with its place, ready to be shown
AsmError    what the caller gets: every mistake of the file, in order
"""

from collections.abc import Sequence
from typing import Final

from emu.errors import EmuError

SHOWN: Final = 20  # mistakes of one program that are spelled out


class SourceError(Exception):
    """Something wrong in one statement. `column` counts from 1; 0 means the whole statement. `hint`: what to do."""

    def __init__(self, message: str, column: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.hint = hint

    def at(self, column: int) -> "SourceError":
        """This, at `column` if it has no place of its own."""
        self.column = self.column or column
        return self


class Undefined(SourceError):
    """A symbol that nothing defines."""

    def __init__(self, message: str, column: int, name: str) -> None:
        super().__init__(message, column)
        self.name = name


class Overflow(SourceError):
    """Expansions without bound: reported once, and assembling stops."""


class Mistake(EmuError):
    """A mistake at its place. `notes` say where its text was expanded from."""

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int,
        column: int = 0,
        source: str,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(message, file=file, line=line, column=column, source=source)
        self.hint = hint
        self.notes = tuple(notes)

    def __str__(self) -> str:
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return "\n".join((super().__str__() + hint, *self.notes))


class AsmError(EmuError):
    """Source that does not assemble. `errors` has one EmuError per mistake, in source order.

    The text shows the first of them, and says how many more there are.
    """

    def __init__(self, errors: Sequence[EmuError]) -> None:
        first = errors[0]
        super().__init__(first.message, file=first.file, line=first.line, column=first.column, source=first.source)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        more = len(self.errors) - SHOWN
        rest = [f"and {more} more mistake{'s' * (more > 1)}"] if more > 0 else []
        return "\n".join([str(e) for e in self.errors[:SHOWN]] + rest)
