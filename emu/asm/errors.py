"""Mistakes in assembler source.

SourceError     raised while one statement is handled; knows a column, not the file
AsmError    what the caller gets: every mistake of the file, in order
"""

from collections.abc import Sequence

from emu.errors import EmuError


class SourceError(Exception):
    """Something wrong in one statement. `column` counts from 1; 0 means the whole statement."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


class AsmError(EmuError):
    """Source that does not assemble. `errors` has one EmuError per mistake, in source order; the text lists all."""

    def __init__(self, errors: Sequence[EmuError]) -> None:
        first = errors[0]
        super().__init__(first.message, file=first.file, line=first.line, column=first.column, source=first.source)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(e) for e in self.errors)
