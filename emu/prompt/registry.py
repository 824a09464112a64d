"""The commands by name: what each is called, and which one an abbreviation means."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emu.prompt.elsewhere import elsewhere
from emu.prompt.errors import PromptError

if TYPE_CHECKING:
    from emu.prompt.shell import Shell

Action = Callable[["Shell", str], list[str]]


@dataclass(frozen=True)
class Command:
    """One command.

    usage      the command with its arguments
    says       what it does, in one line
    family     under which `help` lists it
    completes  what its argument can be: "place", "kind", "mark", "command" or a list of words
    repeats    an empty line does it again
    """

    names: tuple[str, ...]
    usage: str
    says: str
    family: str
    action: Action
    completes: str | tuple[str, ...]
    repeats: bool


COMMANDS: Final[dict[str, Command]] = {}  # by every name
_ORDER: Final[list[Command]] = []


def command(
    *names: str,
    usage: str = "",
    says: str,
    family: str,
    completes: str | tuple[str, ...] = "",
    repeats: bool = False,
) -> Callable[[Action], Action]:
    """Register a function as a command: `names`, the first of them in full, the others short."""

    def register(action: Action) -> Action:
        found = Command(names, f"{names[0]} {usage}".rstrip(), says, family, action, completes, repeats)
        for name in names:
            assert name not in COMMANDS, name
            COMMANDS[name] = found
        _ORDER.append(found)
        return action

    return register


def commands() -> list[Command]:
    """All of them, in the order of the families' modules."""
    return list(_ORDER)


def find(word: str) -> Command:
    """The command of this name, or the one that begins so. Raises PromptError; for one of gdb's it says what to do."""
    instead = elsewhere(word)
    if instead is not None and not any(name.startswith(word) for name in COMMANDS):
        raise PromptError(f"there is no {word!r} here: {instead}")
    return COMMANDS[one_of(word, COMMANDS, "command", lambda name: COMMANDS[name].names[0])]


def one_of(
    word: str, choices: "dict[str, Command] | tuple[str, ...] | list[str]", what: str,
    same: Callable[[str], str] = lambda name: name,
) -> str:  # fmt: skip
    """The choice that is or begins with a word. Raises PromptError for none, or several that are not the same."""
    if word in choices:
        return word
    starting = [name for name in choices if name.startswith(word)] if word else []
    meanings = sorted({same(name) for name in starting})
    if meanings and all(meaning.startswith(meanings[0]) for meaning in meanings):
        return meanings[0]  # `ste` is step, though there is stepi
    if meanings:
        raise PromptError(f"{word!r} can be {', '.join(meanings)}")
    near = difflib.get_close_matches(word, [name for name in choices if len(name) > 2], 1, 0.6)
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise PromptError(f"there is no {what} {word!r}{hint}")


def numbered(word: str, names: dict[int, str], what: str) -> int:
    """The number that has this name, or a name that begins so. Raises PromptError as `one_of`."""
    found = one_of(word, list(names.values()), what)
    return next(number for number, name in names.items() if name == found)
