"""Which events are recorded.

    filter = term { "," term }
    term   = ["!"] kind [ "(" name { "," name } ")" ]
    kind   = all | syscalls | faults | signals | forks | exits | tables | frames | insns

`syscalls, faults(cow_copy, demand_zero), !syscalls(brk, mmap)`: every call but two, and two classes of faults. A name
may hold `*`. Terms are read from left to right, the last that fits an event decides, and what no term fits is left out;
a filter that begins with `!` leaves out of `syscalls, faults, signals, forks, exits`, which is also the empty filter.
`insns` needs names: the instructions of these functions.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from emu.errors import EmuError
from emu.trace.event import KINDS, Event

_DEFAULT: Final = "syscalls, faults, signals, forks, exits"
_TERM: Final = re.compile(r"\s*(!?)\s*([a-z]+)\s*(?:\(([^()]*)\))?\s*(,|$)")
_PLURALS: Final = {f"{kind}s": kind for kind in KINDS}


@dataclass(frozen=True)
class _Term:
    wanted: bool
    kind: str  # "" for all
    names: tuple[str, ...]  # none: any

    def fits(self, kind: str, name: str) -> bool:
        return self.kind in ("", kind) and (not self.names or any(fnmatchcase(name, n) for n in self.names))


class Filter:
    """A filter, parsed."""

    def __init__(self, text: str = "") -> None:
        """Raises EmuError that says where `text` goes wrong."""
        self.text = text.strip()
        terms = _parse(self.text)
        if not terms or not terms[0].wanted:
            terms = [*_parse(_DEFAULT), *terms]
        self._terms = terms
        self._answers: dict[tuple[str, str], bool] = {}

    def wants(self, kind: str, name: str) -> bool:
        """True if an event of this kind and name is recorded."""
        key = kind, name
        if key not in self._answers:
            fitting = [term.wanted for term in self._terms if term.fits(kind, name)]
            self._answers[key] = bool(fitting and fitting[-1])
        return self._answers[key]

    def accepts(self, event: Event) -> bool:
        """The same of an event."""
        return self.wants(event.kind, event.name)

    def kinds(self) -> set[str]:
        """Those that some term wants; what else there is need not be listened to."""
        wanted: set[str] = set()
        for term in self._terms:
            if term.wanted:
                wanted |= {term.kind} if term.kind else set(KINDS) - {"insn"}
        return wanted

    def named(self) -> set[str]:
        """Kinds that are asked for by name, not by `all`."""
        return {term.kind for term in self._terms if term.wanted and term.kind}

    def functions(self) -> tuple[str, ...]:
        """Patterns of the functions whose instructions are wanted."""
        return tuple(name for term in self._terms if term.wanted and term.kind == "insn" for name in term.names)


def _parse(text: str) -> list[_Term]:
    terms: list[_Term] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise EmuError(
                f"trace filter, column {at + 1}: expected KIND or KIND(NAME, ...), not {text[at:].strip()!r}"
            )
        kind = found[2]
        if kind != "all" and kind not in _PLURALS:
            known = ", ".join(("all", *_PLURALS))
            raise EmuError(f"trace filter, column {found.start(2) + 1}: {kind} is none of {known}")
        names = tuple(name.strip() for name in found[3].split(",")) if found[3] else ()
        if kind == "insns" and not found[1] and not names:
            raise EmuError(f"trace filter, column {found.start(2) + 1}: insns needs the names of functions")
        terms.append(_Term(not found[1], _PLURALS.get(kind, ""), names))
        at = found.end()
    return terms
