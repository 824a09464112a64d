"""Source text to items: labels, assignments and instructions. Directives are in emu.asm.directives."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from emu.asm import blocks, tables
from emu.asm.directives import Directives
from emu.asm.errors import SourceError
from emu.asm.expr import Cursor, Symbol, Value, evaluate
from emu.asm.instructions import Instruction
from emu.asm.items import Assign, Branch, Bytes, Item, Label, Unit, What
from emu.asm.lexer import Splitter, Statement, Token, tokens
from emu.asm.operands import REGISTERS, Bare, Mem, Operand, Reg, parse_operands
from emu.asm.sources import Place, Sources

MAX_MISTAKES: Final = 50  # reported of one file
MAX_DEPTH: Final = 60  # files and blocks inside one another


class Parser:
    """Parses a program's files. `unit` is what they say, `mistakes` is what is wrong with them, by place."""

    def __init__(self, att: bool, sources: Sources, constants: Callable[[str], int | None]) -> None:
        """`constants` gives the value of a name the source does not define, or None."""
        self.unit = Unit()
        self.mistakes: list[tuple[Place, SourceError]] = []
        self._sources = sources
        self._constants = constants
        self._open: tuple[int, ...] = ()  # the numbers of the files that are being read, each including the next
        self._splitter = Splitter(att)  # of the last of them
        self._statements: Iterator[Statement] = iter(())  # what follows the present one in its file or block
        self._repeated = 0  # statements that .rept has made
        self._depth = 0  # of files and blocks inside one another
        self._values: dict[str, int | None] = {}  # what .equ and = have defined so far, None if not a number yet
        self._directives = Directives(self.unit)
        self._labels: dict[str, Place] = {}
        self._locals: dict[str, int] = {}  # digits -> how many defined so far
        self._pending = b""  # prefixes on a line of their own, for the next instruction
        self._pending_at = (Place(0, 0), 0)

    def parse(self) -> None:
        """Fills `unit`; goes on behind a mistake, up to MAX_MISTAKES of them."""
        self._file(0)
        if self._pending:
            place, column = self._pending_at
            self.mistakes.append((place, SourceError("a prefix without an instruction", column)))

    def _file(self, number: int) -> None:
        """One file; the syntax it ends in stays in force, as where the text of an include stands in its place."""
        open_files, including = self._open, self._splitter
        self._open = (*open_files, number)
        self._splitter = Splitter(including.att, number)
        self._run(self._splitter.split(self._sources.texts[number]))
        self.mistakes += self._splitter.mistakes
        including.att = self._splitter.att
        self._open, self._splitter = open_files, including

    def _run(self, statements: Iterator[Statement]) -> None:
        """The statements of a file or block."""
        if self._depth >= MAX_DEPTH:
            raise SourceError(f"files and blocks are nested more than {MAX_DEPTH} deep")
        self._depth += 1
        outer, self._statements = self._statements, statements
        for statement in statements:
            try:
                self._statement(statement)
            except SourceError as mistake:
                self.mistakes.append((statement.place, mistake))
            if len(self.mistakes) >= MAX_MISTAKES:
                break
        self._statements = outer
        self._depth -= 1

    def _statement(self, statement: Statement) -> None:
        found = tokens(statement.text, statement.column)
        while len(found) >= 2 and found[1].text == ":" and found[0].kind in ("name", "number"):
            self._label(found[0], statement.place)
            found = found[2:]
        if not found:
            return
        cursor = Cursor(self._resolved(found), statement.column + len(statement.text), _registers(statement.att))
        word = found[0].text.lower() if found[0].kind == "name" else ""
        if word and len(found) > 1 and found[1].text in ("=", "==") and found[1].kind == "punct":
            cursor.at = 2
            self._add(self._assignment(found[0], cursor), statement.place, found[0].column)
        elif word == ".include":
            cursor.at = 1
            self._file(self._included(cursor))
        elif word in blocks.ENDS:
            cursor.at = 1
            self._block(word, cursor, statement)
        elif word in blocks.INNER:
            raise SourceError(f"{found[0].text} outside of a block", found[0].column)
        elif found[0].text.startswith(".") and found[0].kind == "name":
            cursor.at = 1
            for what in self._directives.parse(found[0], cursor, statement.att):
                self._add(what, statement.place, found[0].column)
        else:
            self._instruction(cursor, statement)

    def _included(self, cursor: Cursor) -> int:
        """The number of the file that .include names."""
        token = cursor.next("a file name in double quotes")
        if token.kind != "string":
            raise SourceError(f"a file name in double quotes expected, found '{token.text}'", token.column)
        cursor.finish()
        name = token.text.encode("latin-1").decode("utf-8", "surrogateescape")
        return self._sources.open(name, self._open, token.column)

    def _label(self, token: Token, place: Place) -> None:
        if token.kind == "number":
            if not token.text.isdecimal():
                raise SourceError(f"{token.text} cannot be a label", token.column)
            count = self._locals[token.text] = self._locals.get(token.text, 0) + 1
            self._add(Label(f"{int(token.text)}#{count}"), place, token.column)
            return
        if token.text.lower() in REGISTERS:
            raise SourceError(f"register {token.text} cannot be a label", token.column)
        if token.text in self._labels:
            raise SourceError(
                f"label {token.text} is already defined in {self._where(token.text, place)}", token.column
            )
        self._labels[token.text] = place
        self._add(Label(token.text), place, token.column)

    def _where(self, label: str, place: Place) -> str:
        """Where a label is defined, as seen from `place`."""
        file, line = self._labels[label]
        return f"line {line}" if file == place.file else f"{self._sources.names[file]}:{line}"

    def _resolved(self, found: list[Token]) -> list[Token]:
        """1b and 1f become the names of the labels they mean."""
        return [self._local(t) if t.kind == "local" else t for t in found]

    def _local(self, token: Token) -> Token:
        digits, direction = token.text[:-1], token.text[-1]
        count = self._locals.get(digits, 0) + (direction == "f")
        if not count:
            raise SourceError(f"no label {digits}: before this", token.column)
        return token._replace(text=f"{int(digits)}#{count}")

    def _assignment(self, name: Token, cursor: Cursor) -> What:
        if name.text.lower() in REGISTERS:
            raise SourceError(f"register {name.text} cannot be assigned", name.column)
        expr = cursor.expression()
        cursor.finish()
        return Assign(name.text, expr)

    def _instruction(self, cursor: Cursor, statement: Statement) -> None:
        prefixes = self._pending
        self._pending = b""
        column = cursor.column
        while (token := cursor.token) is not None and token.kind == "name" and token.text.lower() in tables.PREFIXES:
            cursor.at += 1
            prefixes += tables.PREFIXES[token.text.lower()]
        if cursor.token is None:
            self._pending = prefixes
            self._pending_at = (statement.place, column)
            return
        token = cursor.next("an instruction")
        name = token.text.lower()
        if token.kind != "name" or not name.isalnum() or not name[0].isalpha():
            raise SourceError(f"an instruction, a label or a directive expected, found '{token.text}'", token.column)
        if name in tables.NASM_WORDS:
            raise SourceError(f"{token.text} is NASM syntax; use --assembler nasm", token.column)
        operands = parse_operands(cursor, statement.att)
        if statement.att:
            name, operands = _att_form(name, operands)
        what = _encoding_of(name, operands, token.column, prefixes)
        _check_prefixes(prefixes, what, name, column)
        self._add(what, statement.place, column)

    def _block(self, word: str, cursor: Cursor, statement: Statement) -> None:
        """A .rept or .if with all that belongs to it."""
        parts = blocks.parts(statement, word, self._statements)
        if word != ".rept":
            self._run(iter(self._chosen(parts, cursor)))
            return
        count, body = self._number(cursor), parts[0].body
        if count < 0:
            raise SourceError(f"negative count {count}", cursor.tokens[0].column)
        self._repeated += count * len(body)
        if self._repeated > blocks.MAX_REPEATED:
            raise SourceError(f".rept makes more than {blocks.MAX_REPEATED} statements", cursor.tokens[0].column)
        for _ in range(count if body else 0):
            self._run(iter(body))
            if self.mistakes:
                break  # once is enough

    def _chosen(self, parts: list[blocks.Part], cursor: Cursor) -> list[Statement]:
        """The statements of the first part whose condition holds."""
        for part in parts:
            if part.opening is not parts[0].opening:
                found = tokens(part.opening.text, part.opening.column)
                end = part.opening.column + len(part.opening.text)
                cursor = Cursor(found, end, _registers(part.opening.att))
                cursor.at = 1
            try:
                if self._holds(part.word, cursor):
                    return part.body
            except SourceError as mistake:
                self.mistakes.append((part.opening.place, mistake))
                break
        return []

    def _holds(self, word: str, cursor: Cursor) -> bool:
        if word in (".if", ".elseif"):
            return bool(self._number(cursor))
        if word == ".else":
            cursor.finish()
            return True
        name = cursor.next("a name")
        cursor.finish()
        defined = name.text in self._labels or name.text in self._values
        return defined is (word == ".ifdef")

    def _number(self, cursor: Cursor) -> int:
        """An operand that has to be known now."""
        expr = cursor.expression()
        cursor.finish()
        return evaluate(expr, self._known).number

    def _known(self, symbol: Symbol) -> Value:
        value = self._values[symbol.name] if symbol.name in self._values else self._constants(symbol.name)
        if value is None:
            raise SourceError(f"{symbol.shown} is not a number that is known here", symbol.column)
        return Value(value)

    def _remember(self, assign: Assign) -> None:
        """What .equ and = define may be asked for by .if and .rept further down."""
        try:
            self._values[assign.name] = evaluate(assign.expr, self._known).number
        except SourceError:
            self._values[assign.name] = None

    def _add(self, what: What, place: Place, column: int) -> None:
        if isinstance(what, Assign):
            self._remember(what)
        self.unit.items.append(Item(what, self._directives.section, place, column))


def _registers(att: bool) -> frozenset[str]:
    return frozenset() if att else REGISTERS


def _encoding_of(name: str, operands: list[Operand], column: int, prefixes: bytes) -> What:
    """How this instruction gets its bytes: our own few forms, or Keystone's."""
    if not operands and name in tables.FIXED:
        return Bytes(prefixes + tables.FIXED[name], code=True)
    if name in tables.BRANCHES and len(operands) == 1:
        target = operands[0]
        if isinstance(target, Bare) and not target.size and not target.segment:
            short, near = tables.BRANCHES[name]
            return Branch(short, b"" if target.short and short else near, target.expr, prefixes)
    if name in tables.MNEMONIC_SPELLING:
        name = tables.MNEMONIC_SPELLING[name]
    return Instruction(name, tuple(operands), column, prefixes)


def _att_form(name: str, operands: list[Operand]) -> tuple[str, list[Operand]]:
    """The Intel mnemonic, and memory operands with the sizes that suffixes give them."""
    vector = any(isinstance(op, Reg) and op.name[:2] in ("xm", "ym", "mm") for op in operands)
    name, destination, source = tables.from_att(name, vector)
    sized: list[Operand] = []
    for position, op in enumerate(operands):
        if isinstance(op, Bare) and name not in tables.BRANCHES:
            op = Mem(op.expr, op.column)
        if isinstance(op, Mem) and not op.size:
            op = replace(op, size=destination if position == 0 and len(operands) > 1 else source)
        sized.append(op)
    return name, sized


def _check_prefixes(prefixes: bytes, what: What, name: str, column: int) -> None:
    """lock and rep mean something before some instructions only (SDM vol. 2 LOCK, REP); elsewhere #UD or worse."""
    if b"\xf0" in prefixes:
        memory = isinstance(what, Instruction) and any(isinstance(op, Mem | Bare) for op in what.operands[:1])
        swapped = isinstance(what, Instruction) and name.startswith("xchg") and isinstance(what.operands[-1], Mem)
        if not (memory or swapped) or (isinstance(what, Instruction) and what.mnemonic not in tables.LOCKABLE):
            raise SourceError(f"lock cannot stand before this {name}", column)
    repeat = b"\xf3" in prefixes or (b"\xf2" in prefixes and not isinstance(what, Branch))
    mnemonic = what.mnemonic if isinstance(what, Instruction) else name
    if repeat and mnemonic not in tables.REPEATABLE and mnemonic not in ("call", "jmp"):
        raise SourceError(f"rep cannot stand before {name}", column)
