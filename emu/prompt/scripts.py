"""Commands about commands: files of them, help, the end."""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from emu.prompt import expression
from emu.prompt.errors import PromptError
from emu.prompt.points import point_commands
from emu.prompt.registry import command, commands, find, one_of
from emu.prompt.running import time_text
from emu.prompt.shell import Answer, Shell

_SUPPORT: Final = "support"
_MAX_FILE: Final = 1 << 20


def play(s: Shell, name: str, lines: Iterable[str]) -> Iterator[Answer]:
    """Run commands one after another, up to the first that fails: its answer names the place."""
    for number, line in enumerate(lines, 1):
        shown = [f"{s.prompt}{line.strip()}"] if s.traced and line.strip() and not line.startswith("#") else []
        answer = s.execute(line)
        if answer.failed:
            *before, error = answer.lines
            yield Answer([*shown, *before, f"{name}:{number}: {error}"], True)
            return
        yield Answer([*shown, *answer.lines])
        if s.done:
            return


def lines_of(path: str) -> list[str]:
    """A file of commands. Raises PromptError."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE:
            raise PromptError(f"{path} is no file of commands")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise PromptError(f"{path!r}: {error}") from None


@command("source", usage="FILE", says="run the commands in a file, up to the first that fails", family=_SUPPORT)
def source(s: Shell, text: str) -> list[str]:
    out: list[str] = []
    with s.deeper():
        for answer in play(s, text, lines_of(text)):
            out += answer.lines
            if answer.failed:
                raise PromptError(out.pop().replace("error: ", "", 1), out)
    return out


@command(
    "save",
    usage="breakpoints|marks FILE",
    says="write points or marks as commands, for `source`",
    family=_SUPPORT,
    completes=("breakpoints", "marks"),
)
def save(s: Shell, text: str) -> list[str]:
    word, _space, path = text.partition(" ")
    what = one_of(word, ["breakpoints", "marks"], "thing to save")
    if not path.strip():
        raise PromptError("a file's name is missing")
    marks = [f"mark {name} {time_text(time)}" for name, time in s.marks.items()]
    rows = marks if what == "marks" else point_commands(s)
    try:
        with open(path.strip(), "w", encoding="utf-8") as file:
            file.writelines(f"{row}\n" for row in rows)
    except OSError as error:
        raise PromptError(f"{path.strip()}: {error.strerror}") from None
    return [f"{len(rows)} lines written to {path.strip()}"]


@command("echo", usage="TEXT", says="print a text", family=_SUPPORT)
def echo(s: Shell, text: str) -> list[str]:
    return [text]


@command("help", "h", usage="[COMMAND]", says="this list, or one command", family=_SUPPORT, completes="command")
def help_(s: Shell, text: str) -> list[str]:
    if text == "expressions":
        return [line for line in (expression.__doc__ or "").splitlines() if line]
    if text:
        found = find(text.split()[0])
        others = f" (also {', '.join(found.names[1:])})" if len(found.names) > 1 else ""
        return [f"{found.usage}{others}", f"  {found.says}"]
    rows: list[str] = []
    for family in dict.fromkeys(c.family for c in commands()):
        rows.append(f"{family}:")
        rows += [f"  {', '.join(c.names):<28} {c.says}" for c in commands() if c.family == family]
    return [*rows, "Commands can be abbreviated. `help COMMAND` shows what it takes, `help expressions` what they are."]


@command("quit", "q", "exit", says="leave", family=_SUPPORT)
def quit_(s: Shell, text: str) -> list[str]:
    s.done = True
    return []
