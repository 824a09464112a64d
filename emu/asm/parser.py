"""Source text to items: labels, assignments and instructions. Directives are in emu.asm.directives."""

from dataclasses import replace
from typing import Final

from emu.asm import tables
from emu.asm.directives import Directives
from emu.asm.errors import SourceError
from emu.asm.expr import Cursor
from emu.asm.instructions import Instruction
from emu.asm.items import Assign, Branch, Bytes, Item, Label, Unit, What
from emu.asm.lexer import Splitter, Statement, Token, tokens
from emu.asm.operands import REGISTERS, Bare, Mem, Operand, Reg, parse_operands

MAX_MISTAKES: Final = 50  # reported of one file


class Parser:
    """Parses one file. `unit` is what it says, `mistakes` is what is wrong with it, by line."""

    def __init__(self, att: bool) -> None:
        self.unit = Unit()
        self.mistakes: list[tuple[int, SourceError]] = []
        self._directives = Directives(self.unit)
        self._splitter = Splitter(att)
        self._labels: dict[str, int] = {}  # name -> line
        self._locals: dict[str, int] = {}  # digits -> how many defined so far
        self._pending = b""  # prefixes on a line of their own, for the next instruction
        self._pending_at = (0, 0)

    def parse(self, source: str) -> None:
        """Fills `unit`; goes on behind a mistake, up to MAX_MISTAKES of them."""
        for statement in self._splitter.split(source):
            try:
                self._statement(statement)
            except SourceError as mistake:
                self.mistakes.append((statement.line, mistake))
                if len(self.mistakes) >= MAX_MISTAKES:
                    break
        self.mistakes += self._splitter.mistakes
        if self._pending:
            line, column = self._pending_at
            self.mistakes.append((line, SourceError("a prefix without an instruction", column)))

    def _statement(self, statement: Statement) -> None:
        found = tokens(statement.text, statement.column)
        while len(found) >= 2 and found[1].text == ":" and found[0].kind in ("name", "number"):
            self._label(found[0], statement.line)
            found = found[2:]
        if not found:
            return
        cursor = Cursor(self._resolved(found), statement.column + len(statement.text), _registers(statement.att))
        if found[0].kind == "name" and len(found) > 1 and found[1].text == "=" and found[1].kind == "punct":
            cursor.at = 2
            self._add(self._assignment(found[0], cursor), statement.line, found[0].column)
        elif found[0].text.startswith(".") and found[0].kind == "name":
            cursor.at = 1
            for what in self._directives.parse(found[0], cursor, statement.att):
                self._add(what, statement.line, found[0].column)
        else:
            self._instruction(cursor, statement)

    def _label(self, token: Token, line: int) -> None:
        if token.kind == "number":
            if not token.text.isdecimal():
                raise SourceError(f"{token.text} cannot be a label", token.column)
            count = self._locals[token.text] = self._locals.get(token.text, 0) + 1
            self._add(Label(f"{int(token.text)}#{count}"), line, token.column)
            return
        if token.text.lower() in REGISTERS:
            raise SourceError(f"register {token.text} cannot be a label", token.column)
        if token.text in self._labels:
            raise SourceError(f"label {token.text} is already defined in line {self._labels[token.text]}", token.column)
        self._labels[token.text] = line
        self._add(Label(token.text), line, token.column)

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
        cursor.take("=")  # `==` as in GNU as
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
            self._pending_at = (statement.line, column)
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
        self._add(what, statement.line, column)

    def _add(self, what: What, line: int, column: int) -> None:
        self.unit.items.append(Item(what, self._directives.section, line, column))


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
