"""GNU as source to items: statements, labels, assignments, instructions, blocks and macros.

Directives that only emit or switch something are in emu.asm.directives.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from emu.asm import att, blocks, features, macros, tables
from emu.asm.directives import Directives
from emu.asm.errors import SourceError
from emu.asm.expr import Cursor, Number, Symbol, evaluate, reserved_hint
from emu.asm.frontend import Draft, FrontEnd
from emu.asm.hints import nasm_hint
from emu.asm.instructions import Instruction, instruction
from emu.asm.items import Assign, Branch, Bytes, Item, Label, Section, What
from emu.asm.lexer import Splitter, Statement, Token, tokens
from emu.asm.library import link
from emu.asm.operands import REGISTERS, RESERVED, Bare, Imm, Mem, Operand, parse_operands
from emu.asm.sources import Expansion, Place
from emu.asm.spelling import fixed

_HEAD: Final = re.compile(r"((?:[\w.?@$]+\s*:\s*)*)([A-Za-z_.$][\w.$]*)(?![\w.$]|\s*[:=])")
#: Directives whose operands are text, not tokens.
_RAW: Final = frozenset((".macro", ".irp", ".irpc", ".ifb", ".ifnb", ".ifc", ".ifnc"))


class ExitMacro(Exception):
    """`.exitm`: the rest of the macro is left out."""


class Parser(FrontEnd):
    """Parses a program's files into a draft: what they say and what is wrong with them."""

    def __init__(self, draft: Draft, att: bool) -> None:
        super().__init__(draft)
        self._splitter = Splitter(att)  # of the file that is read
        self._directives = Directives(draft.unit, draft.externs)
        self._macros: dict[str, macros.Macro] = {}
        self._uses = 0  # macros that are being expanded, each inside the next
        self._locals: dict[str, int] = {}  # digits -> how many defined so far
        self._pending = b""  # prefixes on a line of their own, for the next instruction
        self._pending_at = (Place(0, 0), 0)

    def library(self, number: int) -> None:
        """Reads a file of the library, which is in Intel syntax."""
        self._splitter.att = False
        self._file(number)

    def _section(self) -> Section:
        return self._directives.section

    def _finish(self) -> None:
        if self._pending:
            place, column = self._pending_at
            self.draft.mistake(place, SourceError("a prefix without an instruction", column))
        link(self.draft, self.library)

    def _file(self, number: int) -> None:
        """One file; the syntax it ends in stays in force, as where the text of an include stands in its place."""
        including = self._splitter
        self._splitter = splitter = Splitter(including.att, number)
        try:
            self._inside(number, splitter.split(self.draft.sources.texts[number]))
        finally:
            self.draft.mistakes += splitter.mistakes
            self.draft.broken |= splitter.broken
        including.att = splitter.att
        self._splitter = including

    def _statement(self, statement: Statement) -> None:
        head = _HEAD.match(statement.text)
        if head is not None and (head[2].lower() in self._macros or head[2].lower() in _RAW):
            self._labels(tokens(head[1], statement.column), statement)
            self._textual(head[2].lower(), statement, head.end())
            return
        found = self._labels(tokens(statement.text, statement.column), statement)
        if not found:
            return
        cursor = _cursor(self._resolved(found), statement.column + len(statement.text), statement.att)
        word = found[0].text.lower() if found[0].kind == "name" else ""
        if word and len(found) > 1 and found[1].text in ("=", "==") and found[1].kind == "punct":
            cursor.at = 2
            self._assign(self._assignment(found[0], cursor), statement.place, found[0].column)
        elif word.startswith("."):
            cursor.at = 1
            self._directive(word, found[0], cursor, statement)
        else:
            self._instruction(cursor, statement)

    def _directive(self, word: str, name: Token, cursor: Cursor, statement: Statement) -> None:
        if word == ".include":
            self._included(cursor, statement.place)
        elif word in blocks.ENDS:
            self._block(word, cursor, statement)
        elif word in blocks.INNER:
            raise SourceError(f"{name.text} outside of a block", name.column)
        elif word == ".exitm":
            if not self._uses:
                raise SourceError(".exitm outside of a macro", name.column)
            raise ExitMacro
        elif word == ".purgem":
            self._macros.pop(cursor.next("the name of a macro").text.lower(), None)
        elif word in (".comm", ".lcomm"):
            token, section, emitted = self._directives.common(cursor)
            self.draft.label(token.text, token, statement.place, cursor.reserved)
            self.draft.unit.items += [Item(what, section, statement.place, name.column) for what in emitted]
        elif word == ".end":
            for _ in self._statements:
                pass
        else:
            for what in self._directives.parse(name, cursor):
                if isinstance(what, Assign):
                    self._assign(what, statement.place, name.column)
                else:
                    self._add(what, statement.place, name.column)

    def _included(self, cursor: Cursor, place: Place) -> None:
        """The file that .include names."""
        token = cursor.next("a file name in double quotes")
        if token.kind != "string":
            raise SourceError(f"a file name in double quotes expected, found '{token.text}'", token.column)
        cursor.finish()
        self._include(token.text.encode("latin-1").decode("utf-8", "surrogateescape"), place, token.column)

    def _labels(self, found: list[Token], statement: Statement) -> list[Token]:
        """Defines the labels a statement begins with; the tokens behind them."""
        place, reserved = statement.place, frozenset[str]() if statement.att else RESERVED
        while len(found) >= 2 and found[1].text == ":" and found[0].kind in ("name", "number"):
            token = found[0]
            if token.kind == "number":
                self._add(self._numbered(token), place, token.column)
            else:
                self._add(self.draft.label(token.text, token, place, reserved), place, token.column)
            found = found[2:]
        return found

    def _numbered(self, token: Token) -> Label:
        if not token.text.isdecimal():
            raise SourceError(f"{token.text} cannot be a label", token.column)
        count = self._locals[token.text] = self._locals.get(token.text, 0) + 1
        return Label(f"{int(token.text)}#{count}")

    def _resolved(self, found: list[Token]) -> list[Token]:
        """1b and 1f become the names of the labels they mean."""
        return [self._local(t) if t.kind == "local" else t for t in found]

    def _local(self, token: Token) -> Token:
        digits, direction = token.text[:-1], token.text[-1]
        count = self._locals.get(digits, 0) + (direction == "f")
        if not count:
            hint = f"{digits}f means the next {digits}: further down"
            if len(digits) > 1 and not digits.strip("01"):
                hint = f"a binary number is written 0b{digits}"
            raise SourceError(f"no label {digits}: before this", token.column, hint)
        return token._replace(text=f"{int(digits)}#{count}")

    def _assignment(self, name: Token, cursor: Cursor) -> Assign:
        if name.text.lower() in REGISTERS:
            raise SourceError(f"register {name.text} cannot be assigned", name.column)
        if name.text.lower() in cursor.reserved:
            raise SourceError(f"{name.text} cannot be assigned", name.column, reserved_hint(name.text))
        expr = cursor.expression()
        cursor.finish()
        return Assign(name.text, expr)

    def _assign(self, assign: Assign, place: Place, column: int) -> None:
        if self.draft.late(assign.expr):
            self.draft.lately.add(assign.name)
        else:
            self.draft.lately.discard(assign.name)
        self._remember(assign, lambda: evaluate(assign.expr, self.draft.known))
        self._add(assign, place, column)

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
        alone = f"is {token.text} a label? Labels end with a colon: {token.text}:"
        if token.kind != "name" or not name.isalnum() or not name[0].isalpha():
            message = f"an instruction, a label or a directive expected, found '{token.text}'"
            raise SourceError(message, token.column, alone if token.kind == "name" else "")
        _refuse_nasm(token, cursor.token)
        following = cursor.tokens[cursor.at : cursor.at + 1]
        if following and following[0].text.startswith(".") and following[0].text in self._directives.names:
            raise SourceError(f"unknown instruction {token.text}", token.column, alone)
        absent = features.missing(name)
        if absent:
            raise SourceError(absent, token.column)
        operands = parse_operands(cursor, statement.att)
        if statement.att:
            _refuse_bare_registers(operands)
            name, operands = att.translated(name, operands, token.column)
        else:
            operands = [self._dated(op) if isinstance(op, Bare) else op for op in operands]
        if name == "int" and _is_three(operands):
            name, operands = "int3", []  # one byte, as GNU as has it
        what = encoding_of(name, operands, token.column, prefixes)
        check_prefixes(prefixes, what, name, column)
        self._add(what, statement.place, column)

    def _dated(self, operand: Bare) -> Bare:
        """The operand, marked where its name is not defined yet."""
        return operand._replace(late=True) if self.draft.late(operand.expr) else operand

    def _textual(self, word: str, statement: Statement, at: int) -> None:
        """A macro's use, or a directive that takes its operands as text: it stands behind `at`."""
        text = statement.text[at:].lstrip()
        column = statement.column + len(statement.text) - len(text)
        if word in self._macros:
            self._use(self._macros[word], text, statement, column)
            return
        parts = self._parts(word, statement)
        if word == ".macro":
            macro = macros.define(text, parts[0].body, column)
            self._macros[macro.name.lower()] = macro
        elif word in blocks.REPEATS:
            self._each(word, text, parts[0].body, column)
        else:
            self._run(iter(self._chosen(parts)))

    def _use(self, macro: macros.Macro, text: str, statement: Statement, column: int) -> None:
        values = macros.bind(macro, text, column)
        self._pay(macro.body, 1, f"macro {macro.name}", statement.column, sum(map(len, values.values())))
        use = Expansion(macro.name, "", statement.place)
        number = self.draft.budget.number
        self.draft.budget.number += 1
        self._uses += 1
        with suppress(ExitMacro):
            self._run(macros.expand(macro.body, values, number, use))
        self._uses -= 1

    def _each(self, word: str, text: str, body: list[Statement], column: int) -> None:
        """.irp and .irpc: the body once for each value."""
        name, _, rest = text.replace(",", " ", 1).partition(" ")
        if not name.isidentifier():
            raise SourceError(f"{word} needs a name and values: {word} reg, rax, rbx", column)
        values = macros.arguments(rest.strip()) if word == ".irp" else list(rest.strip()) or [""]
        self._pay(body, len(values), word, column, sum(map(len, values)))
        for value in values:
            number = self.draft.budget.number
            self._run(macros.expand(tuple(body), {name: value}, number, Expansion("", "", None)))

    def _pay(self, body: Sequence[Statement], count: int, what: str, column: int, values: int = 0) -> None:
        text = sum(len(statement.text) for statement in body)
        self.draft.budget.take(count * len(body), count * (text + values * len(body)), what, column)

    def _parts(self, word: str, statement: Statement) -> list[blocks.Part]:
        try:
            return blocks.parts(statement, word, self._statements)
        except SourceError:
            self.draft.incomplete = True  # the rest of the file went with it
            raise

    def _block(self, word: str, cursor: Cursor, statement: Statement) -> None:
        """A .rept or a condition with all that belongs to it."""
        parts = self._parts(word, statement)
        if word != ".rept":
            self._run(iter(self._chosen(parts)))
            return
        count, body = self._number(cursor), parts[0].body
        if count < 0:
            raise SourceError(f"negative count {count}", cursor.tokens[0].column)
        self._pay(body, count, ".rept", cursor.tokens[0].column)
        known = len(self.draft.mistakes)
        for _ in range(count if body else 0):
            self._run(iter(body))
            if len(self.draft.mistakes) > known:
                break  # once is enough

    def _chosen(self, parts: list[blocks.Part]) -> list[Statement]:
        """The statements of the first part whose condition holds."""
        for part in parts:
            try:
                if self._holds(part.word, part.opening):
                    return part.body
            except SourceError as mistake:
                self.draft.mistake(part.opening.place, mistake)
                break
        return []

    def _holds(self, word: str, opening: Statement) -> bool:
        text, column = blocks.operand_of(opening)
        if word in (".ifb", ".ifnb"):
            return (not text.strip()) is (word == ".ifb")
        if word in (".ifc", ".ifnc"):
            left, comma, right = text.partition(",")
            if not comma:
                raise SourceError(f"{word} compares two texts: {word} A, B", column)
            return (left.strip() == right.strip()) is (word == ".ifc")
        cursor = _cursor(self._resolved(tokens(text, column)), column + len(text), opening.att)
        if word in blocks.NUMERIC or word == ".elseif":
            return blocks.compares(".if" if word == ".elseif" else word, self._number(cursor))
        if word == ".else":
            cursor.finish()
            return True
        if word in (".ifeqs", ".ifnes"):
            left = cursor.next("a string").text
            cursor.expect(",")
            right = cursor.next("a string").text
            cursor.finish()
            return (left == right) is (word == ".ifeqs")
        name = cursor.next("a name")
        cursor.finish()
        defined = name.text in self.draft.labels or name.text in self.draft.values
        return defined is (word == ".ifdef")

    def _number(self, cursor: Cursor) -> int:
        """An operand that has to be known now."""
        expr = cursor.expression()
        cursor.finish()
        return evaluate(expr, self.draft.known).number


def _is_instruction(word: str) -> bool:
    from emu.asm.mnemonics import COMMON  # most programs have no label that is called like a word of NASM

    return word in COMMON


def _refuse_nasm(token: Token, following: Token | None) -> None:
    """What only NASM understands: `section .text`, `msg db "text"`."""
    for found in (token, following):
        if found is not None and found.kind == "name" and found.text.lower() in tables.NASM_WORDS:
            if found is following and _is_instruction(token.text.lower()):
                break  # jmp align
            raise SourceError(f"{found.text} is NASM syntax", found.column, nasm_hint(found.text.lower()))


def _is_three(operands: list[Operand]) -> bool:
    return len(operands) == 1 and isinstance(operands[0], Imm | Bare) and operands[0].expr == Number(3)


def _refuse_bare_registers(operands: list[Operand]) -> None:
    """In AT&T syntax `rax` is a symbol, but no label can be called so: it is `%rax` that is meant."""
    for op in operands:
        expr = op.expr if isinstance(op, Bare) else op.disp if isinstance(op, Mem) else None
        if isinstance(expr, Symbol) and expr.name.lower() in REGISTERS:
            hint = f"AT&T syntax writes %{expr.name}; .intel_syntax noprefix switches"
            raise SourceError(f"register {expr.name} without %", expr.column, hint)


def _cursor(found: list[Token], end: int, att: bool) -> Cursor:
    return Cursor(found, end) if att else Cursor(found, end, REGISTERS, RESERVED)


def encoding_of(name: str, operands: list[Operand], column: int, prefixes: bytes) -> What:
    """How this instruction gets its bytes: our own few forms, or Keystone's."""
    known = fixed(name, operands)
    if known is not None:
        return Bytes(prefixes + known, code=True)
    if name in tables.BRANCHES and len(operands) == 1:
        target = operands[0]
        if isinstance(target, Bare) and not target.size and not target.segment:
            short, near = tables.BRANCHES[name]
            return Branch(short, b"" if target.short and short else near, target.expr, prefixes)
    return instruction(name, operands, column, prefixes)


def check_prefixes(prefixes: bytes, what: What, name: str, column: int) -> None:
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
