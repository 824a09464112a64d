"""The mistakes of a program as what the user reads: in order, each once, with hints, and without mere consequences."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from emu.asm.errors import AsmError, Mistake, SourceError, Undefined
from emu.asm.frontend import MAX_MISTAKES, Draft
from emu.asm.hints import Dialect, near, of_line, undefined
from emu.asm.operands import REGISTERS
from emu.asm.sources import Place, Sources

HINTED: Final = 50  # mistakes for which the names of the program are searched: more than are shown
_SYNTAX: Final = re.compile(r"^\s*\.(intel|att)_syntax\b", re.M)
_REGISTER: Final = re.compile(r"no such register: %?(\w+)")
_SAY_SIZE: Final[dict[Dialect, str]] = {
    "intel": "say byte ptr, word ptr, dword ptr or qword ptr before it",
    "att": "the mnemonic takes a suffix: b, w, l or q for 1, 2, 4 or 8 bytes",
    "nasm": "say byte, word, dword or qword before it",
}
MAX_NOTES: Final = 4  # macros inside one another that a message names
_UNKNOWN: Final = re.compile(r"unknown instruction (\S+)")


class _Found(NamedTuple):
    place: Place
    mistake: SourceError

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What makes two of them the same: a mistake in a macro is one however often that is used."""
        return self.place.file, self.place.line, self.mistake.column, self.mistake.message

    @property
    def order(self) -> tuple[tuple[int, int], tuple[int, int, int, str]]:
        origin = self.place.origin
        return (origin.file, origin.line), self.key


def report(draft: Draft, later: Iterable[tuple[Place, SourceError]], dialect: Dialect) -> AsmError:
    """All mistakes of a program that has some. `later` are those of its layout, `dialect` the one it begins in."""
    found: dict[tuple[int, int, int, str], _Found] = {}
    for place, mistake in [*draft.mistakes, *_causes(draft, later)]:
        one = _Found(place, mistake)
        found.setdefault(one.key, one)
    ordered = sorted(found.values(), key=lambda one: one.order)[:MAX_MISTAKES]
    return AsmError(
        [_shown(one, draft.sources, _hint(one, draft, dialect) if n < HINTED else "") for n, one in enumerate(ordered)]
    )


def remarks(found: Iterable[tuple[Place, SourceError]], sources: Sources) -> list[str]:
    """A line for each, as a warning: a statement that is used again and again gets one."""
    texts = (f"{sources.names[p.file]}:{p.line}:{m.column}: warning: {m.message}" for p, m in found)
    return list(dict.fromkeys(texts))


def _causes(draft: Draft, later: Iterable[tuple[Place, SourceError]]) -> Iterator[tuple[Place, SourceError]]:
    """Without what follows from another mistake; a name that is missing once and for all its uses."""
    missing: set[str] = set()
    for place, mistake in later:
        if isinstance(mistake, Undefined):
            if draft.incomplete or mistake.name in draft.broken or mistake.name in missing:
                continue
            missing.add(mistake.name)
        unknown = _UNKNOWN.match(mistake.message)
        if unknown and (draft.incomplete or unknown[1] in draft.broken):
            continue
        if draft.mistakes and not mistake.column:  # of the image as a whole
            continue
        yield place, mistake


def _hint(one: _Found, draft: Draft, dialect: Dialect) -> str:
    place, mistake = one
    source = draft.sources.line(place)
    dialect = _dialect(place, draft.sources, dialect)
    hint = of_line(source, dialect) or mistake.hint
    if mistake.message.startswith("the size of this memory operand") and not hint:
        return _SAY_SIZE[dialect]
    register = _REGISTER.match(mistake.message)
    if register and not hint:
        return near(register[1], REGISTERS)
    if hint or not isinstance(mistake, Undefined):
        comment = mistake.message.endswith("expected") and source[mistake.column - 1 :].lstrip()[:1] == "#"
        return "# begins a comment; a number is written as it is" if comment else hint
    if mistake.name in draft.externs:
        return "external names are those of userland/include, and none there is called so"
    return undefined(mistake.name, dialect, [*_names(draft), *_constants()])


def _names(draft: Draft) -> Iterator[str]:
    """What the source defines, and what it would if the line were right."""
    from emu.asm.mnemonics import COMMON

    yield from (name for name in (*draft.labels, *draft.values) if name and "#" not in name)
    yield from (word for word in draft.broken if word[0].isalpha() and word.lower() not in COMMON)


def _shown(one: _Found, sources: Sources, hint: str) -> Mistake:
    place, mistake = one
    return Mistake(
        _printable(mistake.message),
        file=sources.names[place.file],
        line=place.line,
        column=mistake.column,
        source=sources.line(place),
        hint=_printable(hint),
        notes=_notes(place, sources),
    )


def _printable(text: str) -> str:
    """Text of the source in a message must not control the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _constants() -> Iterable[str]:
    from mini_kernel import uapi

    return uapi.constants()


def _notes(place: Place, sources: Sources) -> list[str]:
    """Where the text comes from: the macros it was expanded by, and who included the file."""
    notes: list[str] = []
    while place.expansion is not None and place.expansion.caller is not None:
        name, place = place.expansion.name, place.expansion.caller
        notes.append(f"{sources.names[place.file]}:{place.line}: in macro {name}, used here")
    if len(notes) > MAX_NOTES + 1:  # the innermost ones, and the line of the source
        notes[MAX_NOTES:-1] = [f"... {len(notes) - MAX_NOTES - 1} more of these"]
    while (place_of := sources.included.get(place.file)) is not None:
        place = place_of.origin
        notes.append(f"{sources.names[place.file]}:{place.line}: included here")
    return notes


def _dialect(place: Place, sources: Sources, dialect: Dialect) -> Dialect:
    """The syntax in force at a line."""
    if dialect == "nasm":
        return dialect
    before = "\n".join(sources.texts[place.file].split("\n")[: place.line - 1])
    switches = _SYNTAX.findall(before)
    return dialect if not switches else "att" if switches[-1] == "att" else "intel"
