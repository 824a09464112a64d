"""NASM source to items: labels, data, sections, instructions (NASM manual, ch. 3 and 7).

What differs from GNU as: a name alone is its address, brackets are memory; constants go to 64-bit registers in the
shortest form; labels need no colon, and those with a leading dot belong to the last one without.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from emu.asm import nasm_data, tables
from emu.asm.errors import SourceError
from emu.asm.expr import Binary, Expr, Number, Symbol, evaluate
from emu.asm.frontend import Draft
from emu.asm.hints import nearest
from emu.asm.instructions import Instruction
from emu.asm.items import SIZE, Align, Assign, Branch, Bytes, Fill, Label, Load, Section, What
from emu.asm.lexer import Statement, Token
from emu.asm.library import link
from emu.asm.mnemonics import ALONE, COMMON
from emu.asm.nasm_operands import RESERVED, WIDTH_PREFIXES, NasmCursor, Operands, full_name
from emu.asm.nasm_preprocessor import Preprocessor
from emu.asm.nasm_text import statements, tokens
from emu.asm.operands import SEGMENTS, ZERO, Imm, Reg
from emu.asm.parser import Parser, check_prefixes, encoding_of
from emu.asm.sources import Place

_REGISTERS64: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
_ACCUMULATORS: Final = ("rax", "eax", "ax")
_BEHIND_LABEL: Final = frozenset((*nasm_data.WIDTHS, *nasm_data.RESERVES, "equ", "times", "istruc"))
_IGNORED: Final = frozenset(("cpu", "static", "required", "float", "warning", "list"))
_GNU_DIRECTIVES: Final = frozenset((".text", ".data", ".bss", ".rodata", ".section", ".global", ".globl"))
_HERE: Final = Symbol(".", "$", 0)
Handler = Callable[[Token, NasmCursor, Statement], None]


class NasmParser(Preprocessor):
    """Parses a program in NASM's dialect into a draft."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._current = self._usual = nasm_data.section(draft.unit, ".text", (), 0)
        self._label = ""  # the last one without a dot
        self._relative = False  # default rel
        self._struc: tuple[str, Expr] | None = None  # the structure being described, and how far it goes
        self._instance: tuple[str, Label] | None = None  # the one being filled in
        self._hidden = 0
        self._directives: dict[str, Handler] = {
            **dict.fromkeys(("section", "segment"), self._switch), "__sect__": self._back, "__?sect?__": self._back,
            "global": self._global, "extern": self._extern, "common": self._refused, "bits": self._bits,
            "use64": self._accepted, "default": self._default, "align": self._align, "alignb": self._align,
            "struc": self._open_struc, "endstruc": self._close_struc, "istruc": self._open_instance, "at": self._field,
            "iend": self._close_instance, "incbin": self._refused, "org": self._refused, "absolute": self._refused,
            **dict.fromkeys(_IGNORED, self._accepted), "use16": self._refused, "use32": self._refused,
        }  # fmt: skip

    @property
    def _scope(self) -> str:
        return self._label

    def _section(self) -> Section:
        return self._current

    def _file(self, number: int) -> None:
        self._inside(number, statements(self.draft.sources.texts[number], number))

    def _finish(self) -> None:
        if self._struc is not None:
            name = self._struc[0]
            self.draft.mistake(self.draft.labels[name], SourceError(f"struc {name} without endstruc"))
        link(self.draft, Parser(self.draft, att=False).library)

    def _line(self, statement: Statement) -> None:
        found = tokens(statement.text, statement.column)
        if found[0].text == "[" and found[-1].text == "]":
            usual = self._usual
            self._labelled_content(found[1:-1], statement)  # the primitive form of a directive
            self._usual = usual  # which is where __SECT__ goes back to
            return
        self._labelled_content(found, statement)

    def _labelled_content(self, found: list[Token], statement: Statement) -> None:
        found = self._labelled(found, statement)
        if found:
            self._content(NasmCursor(found, statement.column + len(statement.text), self._label), statement)

    def _labelled(self, found: list[Token], statement: Statement) -> list[Token]:
        """Defines the label a line begins with; the tokens behind it."""
        if len(found) < 1 or found[0].kind != "name":
            return found
        second = found[1].text.lower() if len(found) > 1 else ""
        if second == "equ":
            return found
        if second == ":":
            rest = found[2:]
            if rest and rest[0].text.lower() == "equ" and rest[0].kind == "name":
                return [found[0], *rest]
        elif self._is_label(found, second):
            rest = found[1:]
        else:
            return found
        self._define_label(found[0], statement)
        return rest

    def _is_label(self, found: list[Token], second: str) -> bool:
        """Whether the first name of a line, without a colon, is a label."""
        word = found[0].text.lower()
        if word in _GNU_DIRECTIVES or word in RESERVED or word in SEGMENTS:
            return False
        if word in self._directives or word in COMMON or word in nasm_data.WIDTHS or word in nasm_data.RESERVES:
            return False
        if second:
            follows = second in _BEHIND_LABEL or second in COMMON
            return found[1].kind == "name" and follows and word not in ("times", *tables.PREFIXES)
        if word in ALONE or word in tables.FIXED or word in tables.PREFIXES or (word == "times"):
            return False
        return not nearest(word, ALONE)  # `syscal` is a typo, not a label

    def _define_label(self, token: Token, statement: Statement) -> None:
        name = full_name(token.text, self._label)
        if self._struc is not None:
            self._assign(name, self._struc[1], token, statement)
        else:
            self._add(self._new(name, token, statement.place), statement.place, token.column)
        if not token.text.startswith("."):
            self._label = name

    def _new(self, name: str, token: Token, place: Place) -> Label:
        if token.text.startswith("$"):  # any word at all
            return self.draft.fresh(name, token, place)
        return self.draft.label(name, token, place, RESERVED)

    def _content(self, cursor: NasmCursor, statement: Statement) -> None:
        token = cursor.next("an instruction")
        word = token.text.lower() if token.kind == "name" else ""
        if cursor.peek("equ"):
            cursor.at += 1
            self._equ(token, cursor, statement)
        elif word in self._directives:
            self._directives[word](token, cursor, statement)
        elif word == "times":
            self._times(cursor, statement)
        else:
            for what in self._emitted(token, cursor, statement):
                self._add(what, statement.place, token.column)

    def _emitted(self, token: Token, cursor: NasmCursor, statement: Statement) -> Sequence[What]:
        """The items of data or an instruction; `cursor` stands behind its name."""
        word = token.text.lower() if token.kind == "name" else ""
        if word in nasm_data.RESERVES:
            count = cursor.expression()
            cursor.finish()
            return self._reserved(nasm_data.RESERVES[word], count, token)
        if word in nasm_data.WIDTHS:
            if self._section().zero:
                message = f"{token.text} in {self._section().name}, which has no bytes in the file"
                raise SourceError(message, token.column, "resb N reserves zeros; what has a value belongs to .data")
            found = nasm_data.data(
                cursor, nasm_data.WIDTHS[word], lambda count: evaluate(count, self.draft.known).number
            )
            cursor.finish()
            return found
        return (self._instruction(token, cursor, statement),)

    def _reserved(self, width: int, count: Expr, token: Token) -> Sequence[What]:
        if self._struc is None:
            return (Fill(Binary("*", count, Number(width), token.column) if width > 1 else count, 1, ZERO),)
        name, offset = self._struc
        known = evaluate(offset, self.draft.known).number + width * evaluate(count, self.draft.known).number
        self._struc = name, Number(known)
        return ()

    def _instruction(self, token: Token, cursor: NasmCursor, statement: Statement) -> What:
        prefixes = b""
        column = token.column
        while token.kind == "name" and token.text.lower() in tables.PREFIXES:
            prefixes += tables.PREFIXES[token.text.lower()]
            if cursor.token is None:
                return Bytes(prefixes)  # for the instruction on the next line
            token = cursor.next("an instruction")
        _refuse_prefix(token)
        name = token.text.lower()
        if token.kind != "name" or not name.isalnum():
            hint = f"is {token.text} a label? Labels end with a colon: {token.text}:" if token.kind == "name" else ""
            if name.startswith("."):
                hint = "directives have no dot in NASM: section .data, db, dq, global"
            raise SourceError(f"an instruction, a label or data expected, found '{token.text}'", token.column, hint)
        parser = Operands(cursor, self._relative, self._is_number)
        operands = parser.parse(name in tables.BRANCHES)
        if name == "mov" and len(operands) == 2 and not prefixes:
            target, value = operands
            if (
                isinstance(target, Reg)
                and target.name in _REGISTERS64
                and isinstance(value, Imm)
                and value.size in (0, 8)
            ):
                return Load(_REGISTERS64.index(target.name), value.expr)
        if name == "xchg" and all(isinstance(op, Reg) and op.name not in _ACCUMULATORS for op in operands):
            operands.reverse()  # either order is right; NASM puts the first into ModRM.reg
        what = encoding_of(name, operands, token.column, prefixes)
        check_prefixes(prefixes, what, name, column)
        if parser.near and isinstance(what, Branch):
            return what._replace(short=b"") if what.near else what
        return what

    def _is_number(self, expr: Expr) -> bool:
        """Whether the expression is a number that is known now."""
        try:
            return not evaluate(expr, self.draft.known).refs
        except SourceError:
            return False

    def _equ(self, token: Token, cursor: NasmCursor, statement: Statement) -> None:
        name = full_name(token.text, self._label)
        expr = cursor.expression()
        cursor.finish()
        self._assign(name, expr, token, statement)

    def _assign(self, name: str, expr: Expr, token: Token, statement: Statement) -> None:
        self._new(name, token, statement.place)  # defined once, whatever it is
        what = Assign(name, expr)
        self._remember(what, lambda: evaluate(expr, self.draft.known))
        self._add(what, statement.place, token.column)

    def _times(self, cursor: NasmCursor, statement: Statement) -> None:
        column = cursor.column
        count = cursor.expression()
        token = cursor.next("an instruction or data")
        start = cursor.at
        found = self._emitted(token, cursor, statement)
        single = self._repeated(found, count)
        if single is not None:
            self._add(single, statement.place, token.column)
            return
        number = evaluate(count, self.draft.known).number
        if number < 0:
            raise SourceError(f"negative count {number}", column)
        self.draft.budget.take(number, number * len(statement.text), "times", column)
        for _ in range(number):
            cursor.at = start
            for what in self._emitted(token, cursor, statement):
                self._add(what, statement.place, token.column)

    def _repeated(self, found: Sequence[What], count: Expr) -> What | None:
        """One item for `times` of something plain, whose count may then depend on addresses."""
        match found:
            case [Bytes(data)] if len(data) in (1, 2, 4, 8):
                return Fill(count, len(data), Number(int.from_bytes(data, "little")))
            case [Fill(inner, width, value)]:
                return Fill(Binary("*", count, inner, 0), width, value)
            case [Instruction("nop", (), _, b"")]:
                return Fill(count, 1, Number(0x90))
            case _:
                return None

    # Directives

    def _accepted(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        """Says nothing that matters here."""

    def _refused(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        reason = "reads a host file, which assembling must not" if name.text.lower() == "incbin" else "is not supported"
        raise SourceError(f"{name.text} {reason}", name.column)

    def _switch(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        token = cursor.next("a section name")
        self._current = nasm_data.section(self.draft.unit, token.text, cursor.tokens[cursor.at :], token.column)
        self._usual = self._current

    def _back(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        cursor.finish()
        self._current = self._usual

    def _names(self, cursor: NasmCursor) -> Iterator[str]:
        """A list of names; what stands behind a colon is for a linker."""
        while True:
            token = cursor.next("a name")
            if token.kind != "name":
                raise SourceError(f"a name expected, found '{token.text}'", token.column)
            yield token.text.removeprefix("$")
            while cursor.token is not None and not cursor.peek(","):
                cursor.at += 1
            if not cursor.take(","):
                return

    def _global(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        """`global f:function (f.end - f)`: type and size are for the symbol table (NASM manual, 8.9.5)."""
        start = cursor.at
        self.draft.unit.globals.update(self._names(cursor))
        cursor.at = start
        while (token := cursor.token) is not None:
            cursor.at += 1
            symbol = token.text.removeprefix("$")
            if cursor.take(":"):
                self._described(symbol, cursor, statement.place, name.column)
            cursor.take(",")

    def _described(self, symbol: str, cursor: NasmCursor, place: Place, column: int) -> None:
        """The type of a symbol, a visibility, which is for a linker, and an expression for its size."""
        kind = cursor.next("a type").text.lower()
        self.draft.unit.types[symbol] = {"function": kind, "data": "object", "object": kind}.get(kind, "")
        while (word := cursor.token) is not None and word.kind == "name":
            cursor.at += 1
        if word is not None and not cursor.peek(","):
            self._add(Assign(SIZE + symbol, cursor.expression()), place, column)

    def _extern(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        self.draft.externs.update(dict.fromkeys(self._names(cursor)))

    def _bits(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        if cursor.next("64").text != "64":
            raise SourceError("only 64-bit code runs here", name.column, "bits 64")

    def _default(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        while (token := cursor.token) is not None:
            cursor.at += 1
            if token.text.lower() not in ("rel", "abs", "bnd", "nobnd", ","):
                raise SourceError(f"default {token.text} is not known", token.column, "default rel or default abs")
            if token.text.lower() in ("rel", "abs"):
                self._relative = token.text.lower() == "rel"

    def _align(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        """Single-byte nops in every section with bytes, as NASM's own macro has it."""
        boundary = cursor.expression()
        fill: Expr = Number(0x90) if name.text.lower() == "align" else ZERO
        if cursor.take(","):
            token = cursor.next("data")
            if token.text.lower() == "db":
                fill = cursor.expression()
            elif token.text.lower() in nasm_data.RESERVES:
                fill = ZERO
                cursor.expression()
            elif token.text.lower() != "nop":
                raise SourceError("align fills with nop, db N or resb 1", token.column)
        cursor.finish()
        if self._struc is not None:
            step = evaluate(boundary, self.draft.known).number
            offset = evaluate(self._struc[1], self.draft.known).number
            self._struc = self._struc[0], Number(offset + (-offset % step if step > 0 else 0))
            return
        self._add(Align(boundary, fill, None, False), statement.place, name.column)

    def _open_struc(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        token = cursor.next("the name of the structure")
        offset: Expr = cursor.expression() if cursor.take(",") else ZERO
        cursor.finish()
        self._assign(token.text, offset, token, statement)
        self._struc = token.text, offset
        self._label = token.text

    def _close_struc(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        if self._struc is None:
            raise SourceError("endstruc without struc", name.column)
        title, size = self._struc
        self._struc = None
        first = self.draft.values.get(title) or 0
        total = evaluate(size, self.draft.known).number - first
        self._assign(f"{title}_size", Number(total), name, statement)

    def _open_instance(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        self._hidden += 1
        label = Label(f"istruc#{self._hidden}")
        self._instance = cursor.next("the name of the structure").text, label
        cursor.finish()
        self._add(label, statement.place, name.column)

    def _reach(self, offset: Expr, statement: Statement, column: int) -> None:
        """Zeros up to that offset in the structure being filled in."""
        assert self._instance is not None
        start = Symbol(self._instance[1].name, "istruc", column)
        done = Binary("-", _HERE, start, column)
        self._add(Fill(Binary("-", offset, done, column), 1, ZERO), statement.place, column)

    def _field(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        if self._instance is None:
            raise SourceError("at outside of istruc", name.column)
        self._label = self._instance[0] if cursor.peek(".") else self._label
        cursor.scope = self._instance[0]
        offset = cursor.expression()
        self._reach(offset, statement, name.column)
        if cursor.take(",") and cursor.token is not None:
            for what in self._emitted(cursor.next("data"), cursor, statement):
                self._add(what, statement.place, name.column)

    def _close_instance(self, name: Token, cursor: NasmCursor, statement: Statement) -> None:
        if self._instance is None:
            raise SourceError("iend without istruc", name.column)
        size = f"{self._instance[0]}_size"
        self._reach(Symbol(size, size, name.column), statement, name.column)
        self._instance = None


def _refuse_prefix(token: Token) -> None:
    """Prefixes that are chosen by the operands here."""
    word = token.text.lower()
    if word in WIDTH_PREFIXES:
        raise SourceError(f"the prefix {token.text} is not supported; use --assembler nasm", token.column)
    if word in SEGMENTS:
        raise SourceError(f"{token.text} is a register, not an instruction", token.column, f"write [{word}:...]")
