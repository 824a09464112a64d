"""What reading a source has in common in every dialect: files inside one another, mistakes, names, limits."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from emu.asm.errors import Overflow, SourceError
from emu.asm.expr import Binary, Expr, Number, Symbol, Unary, Value, reserved_hint
from emu.asm.items import Assign, Inclusion, Item, Label, Section, Unit, What
from emu.asm.lexer import Statement, Token
from emu.asm.macros import Budget
from emu.asm.operands import REGISTERS
from emu.asm.sources import Place, Sources

MAX_MISTAKES: Final = 500  # after which the rest is not looked at
MAX_DEPTH: Final = 120  # files, blocks and macros inside one another

_WORDS: Final = re.compile(r"[\w.?@$]+")


class Stop(Exception):
    """Nothing more is read: there are too many mistakes, or expansions without end."""


@dataclass(slots=True)
class Draft:
    """What has been read of a program so far.

    `constants` gives the value of a name the source does not define, or None. `values` is what .equ and its kin have
    defined so far, None for what is not a number yet; those in `lately` are another name that came later. `broken` are
    names near a mistake, `incomplete` says that parts of the source were not read: what they define is not to be
    missed. `stopped`: reading was given up.
    """

    sources: Sources
    constants: Callable[[str], int | None]
    unit: Unit = field(default_factory=Unit)
    mistakes: list[tuple[Place, SourceError]] = field(default_factory=list[tuple[Place, SourceError]])
    labels: dict[str, Place] = field(default_factory=dict[str, Place])
    values: dict[str, int | None] = field(default_factory=dict[str, int | None])
    lately: set[str] = field(default_factory=set[str])
    externs: dict[str, None] = field(default_factory=dict[str, None])
    broken: set[str] = field(default_factory=set[str])
    incomplete: bool = False
    stopped: bool = False
    budget: Budget = field(default_factory=Budget)
    depth: int = 0

    def mistake(self, place: Place, mistake: SourceError) -> None:
        """Notes it; raises Stop when there are too many."""
        self.mistakes.append((place, mistake))
        if len(self.mistakes) >= MAX_MISTAKES or isinstance(mistake, Overflow):
            self.stopped = self.incomplete = True
            raise Stop

    def known(self, symbol: Symbol) -> Value:
        """A name that has to be a number by now."""
        value = self.values[symbol.name] if symbol.name in self.values else self.constants(symbol.name)
        if value is None:
            raise SourceError(f"{symbol.shown} is not a number that is known here", symbol.column)
        return Value(value)

    def late(self, expr: Expr) -> bool:
        """Whether this is a name, perhaps with a number added, that is neither a label nor a number so far."""
        match expr:
            case Symbol(name):
                unknown = name not in self.values and name not in self.labels and self.constants(name) is None
                return name in self.lately or (unknown and name != "." and "#" not in name)
            case Binary("+", left, right):
                return (self.late(left) and isinstance(right, Number)) or (
                    isinstance(left, Number) and self.late(right)
                )
            case Binary("-", left, Number()) | Unary("+", left):
                return self.late(left)
            case _:
                return False

    def label(self, name: str, token: Token, place: Place, reserved: frozenset[str] = frozenset()) -> Label:
        """A new label. SourceError for a register, a word of the syntax, or a label that is there already."""
        if name.lower() in REGISTERS:
            raise SourceError(
                f"register {name} cannot be a label", token.column, "registers are reserved words: choose another name"
            )
        if name.lower() in reserved:
            raise SourceError(f"{name} cannot be a label", token.column, reserved_hint(name))
        return self.fresh(name, token, place)

    def fresh(self, name: str, token: Token, place: Place) -> Label:
        """A new label, whatever it is called. SourceError for one that is there already."""
        if name in self.labels:
            raise SourceError(f"label {name} is already defined in {self._where(name, place)}", token.column)
        self.labels[name] = place
        return Label(name)

    def _where(self, label: str, place: Place) -> str:
        """Where a label is defined, as seen from `place`."""
        there = self.labels[label]
        return f"line {there.line}" if there.file == place.file else f"{self.sources.names[there.file]}:{there.line}"


class FrontEnd(ABC):
    """Reads files into a draft; a subclass knows a dialect."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._open: tuple[int, ...] = ()  # the numbers of the files that are being read, each including the next
        self._statements: Iterator[Statement] = iter(())  # what follows the present one in its file or block

    def parse(self) -> None:
        """The program itself, and the library's files for names that it says are elsewhere (extern)."""
        try:
            self._file(0)
            self._finish()
        except Stop:
            pass

    @abstractmethod
    def _file(self, number: int) -> None:
        """Reads a file."""

    @abstractmethod
    def _statement(self, statement: Statement) -> None:
        """Reads a statement; SourceError when it is wrong."""

    @abstractmethod
    def _section(self) -> Section:
        """The section in force."""

    @abstractmethod
    def _finish(self) -> None:
        """What is to be said at the end of the program."""

    def _run(self, statements: Iterator[Statement]) -> None:
        """The statements of a file, block or macro."""
        draft = self.draft
        if draft.depth >= MAX_DEPTH:
            raise Overflow(f"files, blocks and macros are nested more than {MAX_DEPTH} deep")
        draft.depth += 1
        outer, self._statements = self._statements, statements
        try:
            for statement in statements:
                try:
                    self._statement(statement)
                except SourceError as mistake:
                    draft.broken.update(_WORDS.findall(statement.text)[:2])
                    draft.mistake(statement.place, mistake.at(statement.column))
        finally:
            self._statements = outer
            draft.depth -= 1

    def _inside(self, number: int, statements: Iterator[Statement]) -> None:
        """Reads the statements of file `number`."""
        outer, self._open = self._open, (*self._open, number)
        self._run(statements)
        self._open = outer

    def _include(self, name: str, place: Place, column: int) -> None:
        try:
            number = self.draft.sources.open(name, self._open, column)
        except SourceError:
            self.draft.incomplete = True
            raise
        self.draft.sources.included.setdefault(number, place)
        self.draft.unit.inclusions.append(Inclusion(len(self.draft.unit.items), place, number))
        self._file(number)

    def _add(self, what: What, place: Place, column: int) -> None:
        self.draft.unit.items.append(Item(what, self._section(), place, column))

    def _remember(self, assign: Assign, value: Callable[[], Value]) -> None:
        """What is defined may be asked for by conditions and repetitions further down."""
        try:
            self.draft.values[assign.name] = value().number
        except SourceError:
            self.draft.values[assign.name] = None
