"""Directives: sections, data, alignment. The GNU as manual, chapter 7, is the reference for each."""

import struct
from collections.abc import Callable, Sequence
from typing import Final

from emu.asm import blocks
from emu.asm.errors import SourceError
from emu.asm.expr import Cursor, Expr, Number, reserved_hint
from emu.asm.hints import near
from emu.asm.items import EXEC, READ, SIZE, WRITE, Align, Assign, Bytes, Data, Fill, Label, Org, Section, Unit, What
from emu.asm.lexer import Token
from emu.asm.operands import REGISTERS, ZERO

MAX_SECTIONS: Final = 60  # their program headers share the first page of the file with the ELF header

_INTEGERS: Final = {
    ".byte": 1, ".short": 2, ".word": 2, ".hword": 2, ".value": 2, ".2byte": 2, ".long": 4, ".int": 4, ".4byte": 4,
    ".quad": 8, ".8byte": 8, ".octa": 16, ".16byte": 16,
    ".dc": 2, ".dc.b": 1, ".dc.w": 2, ".dc.l": 4, ".dc.a": 8,
}  # fmt: skip
_FLOATS: Final = {".float": "<f", ".single": "<f", ".double": "<d"}
_PREFIXES: Final = (
    (".text", READ | EXEC), (".init", READ | EXEC), (".fini", READ | EXEC), (".rodata", READ), (".eh_frame", READ),
    (".data", READ | WRITE), (".tdata", READ | WRITE), (".bss", READ | WRITE),
)  # fmt: skip

#: For the linker, the debugger or another assembler: accepted and without effect here.
_IGNORED: Final = frozenset(
    (".file", ".ident", ".loc", ".weak", ".hidden", ".local", ".protected", ".internal",
     ".noaltmacro", ".nolist", ".list", ".title", ".sbttl", ".psize", ".eject", ".line", ".print", ".warning",
     ".code64", ".arch", ".intel_mnemonic", ".att_mnemonic", ".addrsig", ".addrsig_sym")
)  # fmt: skip
#: What .type knows, and what it is in the symbol table.
_TYPES: Final = {
    "function": "function", "func": "function", "gnu_indirect_function": "function", "object": "object",
    "tls_object": "object", "common": "object", "notype": "", "gnu_unique_object": "object",
}  # fmt: skip
_REFUSED: Final = {
    ".incbin": "reads a host file, which assembling must not",
    ".code32": "switches to 32-bit code; only 64-bit code runs here",
    ".code16": "switches to 16-bit code; only 64-bit code runs here",
    **dict.fromkeys(
        (
            ".altmacro",
            ".struct",
            ".uleb128",
            ".sleb128",
            ".subsection",
            ".reloc",
            ".nops",
            ".string16",
            ".string32",
            ".string64",
            ".tfloat",
            ".balignw",
            ".balignl",
            ".p2alignw",
            ".p2alignl",
            ".ds",
            ".ds.b",
            ".ds.w",
            ".ds.l",
            ".ds.p",
            ".ds.x",
            ".dcb",
            ".dcb.b",
            ".dcb.w",
            ".dcb.l",
            ".dc.d",
            ".dc.s",
            ".dc.x",
            ".version",
            ".symver",
        ),
        "is not supported; use --assembler gas",
    ),
}

_NOP: Final = Number(0x90)

Handler = Callable[[Cursor, Token], Sequence[What]]


class Directives:
    """Parses directives; keeps the current section, which starts as .text.

    What is said to be external is added to `externs`.
    """

    def __init__(self, unit: Unit, externs: dict[str, None]) -> None:
        self._unit = unit
        self._externs = externs
        self.section = self._named(".text", "", 0)
        self._previous = self.section
        self._stack: list[Section] = []
        self._handlers: dict[str, Handler] = {
            **dict.fromkeys(_INTEGERS, self._integers),
            **dict.fromkeys(_FLOATS, self._floats),
            **dict.fromkeys((".ascii", ".asciz", ".string", ".string8"), self._strings),
            **dict.fromkeys((".zero", ".skip", ".space"), self._skip),
            **dict.fromkeys((".align", ".balign", ".p2align"), self._align),
            **dict.fromkeys((".text", ".data", ".bss", ".rodata"), self._plain_section),
            **dict.fromkeys((".section", ".pushsection"), self._section),
            **dict.fromkeys((".equ", ".set", ".equiv"), self._equ),
            **dict.fromkeys((".global", ".globl"), self._global),
            **dict.fromkeys((".intel_syntax", ".att_syntax"), self._syntax),
            **dict.fromkeys((".err", ".error"), self._error),
            ".extern": self._extern,
            ".org": self._org,
            ".fill": self._fill,
            ".type": self._type,
            ".size": self._size,
            ".previous": self._back,
            ".popsection": self._pop,
        }

    @property
    def names(self) -> frozenset[str]:
        """All directives that are known."""
        return frozenset(
            (*self._handlers, ".comm", ".lcomm", *_IGNORED, *_REFUSED, ".include", *blocks.ENDS, *blocks.INNER)
        )

    def parse(self, name: Token, cursor: Cursor) -> Sequence[What]:
        """What the directive `name` emits; `cursor` stands behind it. SourceError for unknown and refused ones."""
        word = name.text.lower()
        if word in _IGNORED or word.startswith(".cfi_"):
            return ()
        if word in _REFUSED:
            raise SourceError(f"{name.text} {_REFUSED[word]}", name.column)
        handler = self._handlers.get(word)
        if handler is None:
            raise SourceError(f"unknown directive {name.text}", name.column, near(word, self.names))
        emitted = handler(cursor, name)
        cursor.finish()
        if self.section.zero and any(isinstance(w, Bytes | Data) for w in emitted):
            raise SourceError(f"{name.text} in {self.section.name}, which has no bytes in the file", name.column)
        return emitted

    def common(self, cursor: Cursor) -> tuple[Token, Section, Sequence[What]]:
        """.comm and .lcomm NAME, LENGTH, ALIGNMENT: the name, and zeros in .bss, where a linker would put them."""
        token = cursor.next("a name")
        cursor.expect(",")
        length = cursor.expression()
        boundary: Expr = cursor.expression() if cursor.take(",") else Number(16)
        cursor.finish()
        section = self._named(".bss", "", token.column)
        return token, section, (Align(boundary, None, None, False), Label(token.text), Fill(length, 1, ZERO))

    def _integers(self, cursor: Cursor, name: Token) -> Sequence[What]:
        width = _INTEGERS[name.text.lower()]
        cursor.bits = 8 * max(width, 8)
        values = [cursor.expression()]
        while cursor.take(","):
            values.append(cursor.expression())
        return (Data(width, tuple(values)),)

    def _floats(self, cursor: Cursor, name: Token) -> Sequence[What]:
        data = b""
        while True:
            negative = cursor.take("-")
            token = cursor.next("a number")
            if token.kind not in ("float", "number"):
                raise SourceError(f"a number expected, found '{token.text}'", token.column)
            value = float(token.text) if token.kind == "float" else float(token.value)
            data += _pack_float(_FLOATS[name.text.lower()], -value if negative else value, token.column)
            if not cursor.take(","):
                return (Bytes(data),)

    def _strings(self, cursor: Cursor, name: Token) -> Sequence[What]:
        end = b"" if name.text.lower() == ".ascii" else b"\0"
        data = b""
        while True:
            token = cursor.next("a string")
            if token.kind != "string":
                text = token.text.strip("'")
                hint = f'write "{text}"'
                raise SourceError(f"a string in double quotes expected, found '{token.text}'", token.column, hint)
            data += token.text.encode("latin-1")
            following = cursor.token
            if following is not None and following.kind == "string":
                continue
            data += end
            if not cursor.take(","):
                return (Bytes(data),)

    def _skip(self, cursor: Cursor, name: Token) -> Sequence[What]:
        count = cursor.expression()
        value = cursor.expression() if cursor.take(",") else ZERO
        return (Fill(count, 1, value),)

    def _fill(self, cursor: Cursor, name: Token) -> Sequence[What]:
        count, width, value = cursor.expression(), 1, ZERO
        if cursor.take(","):
            size = cursor.expression()
            if not isinstance(size, Number) or size.value not in (1, 2, 4, 8):
                raise SourceError("the size of .fill must be 1, 2, 4 or 8", name.column)
            width = size.value
        if cursor.take(","):
            value = cursor.expression()
        return (Fill(count, width, value, low=True),)

    def _align(self, cursor: Cursor, name: Token) -> Sequence[What]:
        boundary = cursor.expression()
        fill = limit = None
        if cursor.take(","):
            fill = None if cursor.peek(",") or cursor.token is None else cursor.expression()
            if cursor.take(","):
                limit = cursor.expression()
        if fill == _NOP and self.section.flags & EXEC:
            fill = None  # nops of several bytes, as without it
        return (Align(boundary, fill, limit, name.text.lower() == ".p2align"),)

    def _equ(self, cursor: Cursor, name: Token) -> Sequence[What]:
        target = cursor.next("a name")
        if target.kind != "name" or target.text.lower() in REGISTERS or target.text == ".":
            raise SourceError(f"{target.text} cannot be assigned", target.column)
        if target.text.lower() in cursor.reserved:
            raise SourceError(f"{target.text} cannot be assigned", target.column, reserved_hint(target.text))
        cursor.expect(",")
        return (Assign(target.text, cursor.expression()),)

    def _global(self, cursor: Cursor, name: Token) -> Sequence[What]:
        while True:
            token = cursor.next("a name")
            if token.kind != "name":
                raise SourceError(f"a name expected, found '{token.text}'", token.column)
            self._unit.globals.add(token.text)
            if not cursor.take(","):
                return ()

    def _type(self, cursor: Cursor, name: Token) -> Sequence[What]:
        """`.type f, @function`; the word may also follow %, #, or stand in quotes or as STT_FUNC."""
        target = cursor.next("a name")
        cursor.take(",")
        cursor.take("%")
        token = cursor.next("a type such as @function")
        kind = _TYPES.get(token.text.removeprefix("@").removeprefix("STT_").lower())
        if kind is None:
            raise SourceError(f"unknown type of symbol {token.text}", token.column)
        self._unit.types[target.text] = kind
        return ()

    def _size(self, cursor: Cursor, name: Token) -> Sequence[What]:
        target = cursor.next("a name")
        cursor.expect(",")
        return (Assign(SIZE + target.text, cursor.expression()),)

    def _extern(self, cursor: Cursor, name: Token) -> Sequence[What]:
        while True:
            token = cursor.next("a name")
            self._externs[token.text] = None
            if not cursor.take(","):
                return ()

    def _org(self, cursor: Cursor, name: Token) -> Sequence[What]:
        target = cursor.expression()
        return (Org(target, cursor.expression() if cursor.take(",") else ZERO),)

    def _error(self, cursor: Cursor, name: Token) -> Sequence[What]:
        token = cursor.token
        raise SourceError(token.text if token is not None else f"{name.text} in the source", name.column)

    def _syntax(self, cursor: Cursor, name: Token) -> Sequence[What]:
        """The splitter has switched already; `prefix` and `noprefix` must fit what is supported."""
        wanted = "prefix" if name.text.lower() == ".att_syntax" else "noprefix"
        token = cursor.token
        if token is not None and not cursor.take(wanted):
            raise SourceError(f"only {name.text} {wanted} is supported", token.column)
        return ()

    def _plain_section(self, cursor: Cursor, name: Token) -> Sequence[What]:
        if cursor.token is not None:
            raise SourceError("subsections are not supported; use --assembler gas", cursor.column)
        self._switch(self._named(name.text.lower(), "", name.column))
        return ()

    def _section(self, cursor: Cursor, name: Token) -> Sequence[What]:
        if name.text.lower() == ".pushsection":
            self._stack.append(self.section)
        title = _section_name(cursor)
        flags = ""
        if cursor.take(","):
            token = cursor.next("section flags in double quotes")
            if token.kind != "string":
                raise SourceError('section flags are a string, as in "aw"', token.column)
            flags = token.text or "-"
        zero = False
        while cursor.token is not None:  # @progbits, @nobits, entry sizes
            zero |= cursor.next("").text in ("@nobits", "nobits")
        self._switch(self._named(title, flags, name.column))
        self.section.zero |= zero
        return ()

    def _back(self, cursor: Cursor, name: Token) -> Sequence[What]:
        self._switch(self._previous)
        return ()

    def _pop(self, cursor: Cursor, name: Token) -> Sequence[What]:
        if not self._stack:
            raise SourceError(".popsection without .pushsection", name.column)
        self._switch(self._stack.pop())
        return ()

    def _switch(self, section: Section) -> None:
        self._previous, self.section = self.section, section

    def _named(self, name: str, flags: str, column: int) -> Section:
        for section in self._unit.sections:
            if section.name == name:
                return section
        if len(self._unit.sections) >= MAX_SECTIONS:
            raise SourceError(f"more than {MAX_SECTIONS} sections", column)
        section = _new_section(name, flags, column)
        self._unit.sections.append(section)
        return section


def _new_section(name: str, flags: str, column: int) -> Section:
    if flags:
        bits = READ | (WRITE if "w" in flags else 0) | (EXEC if "x" in flags else 0)
        return Section(name, bits, zero=name.startswith(".bss"), discard="a" not in flags)
    for prefix, bits in _PREFIXES:
        if name == prefix or name.startswith(prefix + "."):
            return Section(name, bits, zero=prefix == ".bss")
    if name.startswith((".note", ".comment", ".debug")):
        return Section(name, READ, discard=True)
    raise SourceError(f'section {name} needs flags: .section {name},"a" (read), "aw" (write) or "ax" (execute)', column)


def _section_name(cursor: Cursor) -> str:
    """A name such as .rodata.str1.1 or .note.GNU-stack: the tokens up to the comma."""
    parts: list[str] = []
    while cursor.token is not None and not cursor.peek(","):
        parts.append(cursor.next("").text)
    if not parts:
        raise SourceError("a section name expected", cursor.end)
    return "".join(parts)


def _pack_float(form: str, value: float, column: int) -> bytes:
    try:
        return struct.pack(form, value)
    except OverflowError:
        raise SourceError("number is too large for this width", column) from None
