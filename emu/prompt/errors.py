"""What is wrong with a command."""

from collections.abc import Sequence

from emu.errors import EmuError


class PromptError(EmuError):
    """The user asked for something that cannot be understood or done: one line. `lines` were said before."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = list(lines)
