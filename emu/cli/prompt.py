"""Where the debugger's commands come from: a terminal with history and completion, or lines of standard input."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.history import History

Reader = Callable[[str], str]


def at_terminal() -> bool:
    """True where lines can be edited."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def reader(complete: Callable[[str], list[str]]) -> Reader:
    """Asks for a line, given a prompt. It raises EOFError at the end, KeyboardInterrupt for Ctrl-C."""
    if at_terminal():
        return _on_terminal(complete)
    return _plain


def _plain(_prompt: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _on_terminal(complete: Callable[[str], list[str]]) -> Reader:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class Words(Completer):
        """What the shell knows, as prompt_toolkit wants it."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            text = document.text_before_cursor
            length = len(text.rpartition(" ")[2])
            yield from (Completion(word, -length) for word in complete(text))

    session: PromptSession[str] = PromptSession(history=_history(), completer=Words(), complete_while_typing=False)
    return session.prompt


def _history() -> "History":
    """Kept between sessions where there is a place for it."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(base) / "emu" / "debug_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
