"""What goes wrong outside the guest: the third kind of error, the operator's.

    EmuError          a mistake in what we were asked to do: one line on stderr, exit status 2 or 125
      ProgramError    a program that cannot be loaded (emu.program)
      AsmError        source that does not assemble (emu.asm); lists every mistake of the file

`str(error)` is the complete text for a terminal.
"""


class EmuError(Exception):
    """An operator's mistake. With a file, the text is `file:line:col: error: message`, the source line and a caret.

    `line` and `column` count from 1; 0 means unknown. `source` is the text of that line.
    """

    def __init__(
        self, message: str, *, file: str | None = None, line: int = 0, column: int = 0, source: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.source = source

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        where = [self.file, *(str(n) for n in (self.line, self.column) if n)]
        return f"{':'.join(where)}: error: {self.message}{self._caret()}"

    def _caret(self) -> str:
        if self.source is None:
            return ""
        if not self.column:
            return f"\n    {self.source}"
        lead = "".join(c if c == "\t" else " " for c in self.source[: self.column - 1])
        return f"\n    {self.source}\n    {lead}^"


class ProgramError(EmuError):
    """A program that cannot be loaded: not found, unreadable, or nothing that can run."""
