"""Expressions and operands of NASM (NASM manual, 3.3 to 3.7): a name is its address, memory is in brackets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from emu.asm.errors import SourceError
from emu.asm.expr import Binary, Cursor, Expr, Number, Register, Symbol, Unary
from emu.asm.lexer import Token
from emu.asm.nasm_floats import FUNCTIONS, floating
from emu.asm.operands import ADDRESSING, REGISTERS, SEGMENTS, SIZES, ZERO, Bare, Imm, Mem, Operand, Reg, Terms

_LEVELS: Final = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"=", "==", "!=", "<>", "<", "<=", ">", ">="}),
    frozenset("|"),
    frozenset("^"),
    frozenset("&"),
    frozenset({"<<", ">>"}),
    frozenset("+-"),
    frozenset({"*", "/", "//", "%", "%%"}),
)
_COMPARISONS: Final = _LEVELS[2]
#: Division is unsigned, its doubled sign means signed.
_SPELLED: Final = {"=": "==", "/": "u/", "%": "u%", "//": "/", "%%": "%"}
_SIZES: Final = {**SIZES, "tword": 10, "yword": 32, "zword": 64}
_STACK: Final = {f"st{n}": f"st({n})" for n in range(8)}
NAMES: Final = REGISTERS | frozenset(_STACK)
WIDTH_PREFIXES: Final = ("a16", "a32", "a64", "o16", "o32", "o64")
#: Words that are no names, unless a $ stands before them (NASM manual 3.1; any case).
RESERVED: Final = frozenset(
    (*_SIZES, *_STACK, *WIDTH_PREFIXES, "rel", "abs", "seg", "wrt", "short", "near", "far", "strict", "nosplit")
) - {"xmmword", "ymmword", "mmword", "fword", "tbyte"}


class NasmCursor(Cursor):
    """Walks the tokens of a statement. `scope` is the label that local labels belong to."""

    def __init__(self, tokens: list[Token], end: int, scope: str) -> None:
        super().__init__(tokens, end, NAMES)
        self.scope = scope

    def expression(self, level: int = 0) -> Expr:
        """Parses an expression; SourceError at the first token that does not belong."""
        if level == len(_LEVELS):
            return self._unary()
        if not level and self._alone():
            return self._atom(self.next("a value"))
        left = self.expression(level + 1)
        while (token := self.token) is not None and token.kind == "punct" and token.text in _LEVELS[level]:
            self.at += 1
            right = self.expression(level + 1)
            left = Binary(_SPELLED.get(token.text, token.text), left, right, token.column)
            if token.text in _COMPARISONS:  # true is 1
                left = Unary("-", left, token.column)
        return left

    def _atom(self, token: Token) -> Expr:
        if token.kind == "string":
            if len(token.text) > 8:
                raise SourceError("a string of more than eight characters is not a number", token.column)
            return Number(token.value)
        width = FUNCTIONS.get(token.text.lower(), 0)
        if width:
            return self._encoded(width)
        if token.text == "$$":
            return Symbol("$$", "$$", token.column)
        if token.kind == "name" and token.text.lower() not in self.registers:
            symbol = self.symbol(token)
            if self.take("wrt"):
                self._plt()
            return symbol
        return super()._atom(token)

    def _encoded(self, width: int) -> Number:
        """The number in parentheses as the bits of its floating-point encoding."""
        self.expect("(")
        sign = -1 if self.take("-") else 1
        token = self.next("a number")
        if token.kind != "float":
            raise SourceError("a number with a decimal point expected", token.column)
        self.expect(")")
        return Number(int.from_bytes(floating(token, sign, width), "little"))

    def _plt(self) -> None:
        """`wrt ..plt`: in a static image the PLT entry of a function is the function."""
        token = self.next("..plt")
        if token.text.lower() != "..plt":
            raise SourceError(f"wrt {token.text} needs a linker; use --assembler nasm", token.column)

    def symbol(self, token: Token) -> Symbol:
        """The symbol a name means here: `.x` belongs to the last label without a dot."""
        return Symbol(full_name(token.text, self.scope), token.text, token.column)


def full_name(text: str, scope: str) -> str:
    """`.x` with the label it belongs to; `$x` is x even if that is a register's name."""
    text = text.removeprefix("$")
    return scope + text if text.startswith(".") and not text.startswith("..") else text


class Operands:
    """Parses operands. `relative`: `default rel` is in force; `known` is true for an expression that is a number."""

    def __init__(self, cursor: NasmCursor, relative: bool, known: Callable[[Expr], bool]) -> None:
        self._cursor = cursor
        self._relative = relative
        self._known = known
        self.near = False  # a branch is to have its long form

    def parse(self, branch: bool) -> list[Operand]:
        """All operands up to the end of the statement. `branch`: a name is the target of a branch."""
        found: list[Operand] = []
        if self._cursor.token is None:
            return found
        while True:
            found.append(self._operand(branch))
            if not self._cursor.take(","):
                break
        self._cursor.finish()
        return found

    def _operand(self, branch: bool) -> Operand:
        cursor = self._cursor
        column = cursor.column
        size, short = self._size(), False
        if cursor.take("far"):
            raise SourceError("far branches are not supported", column)
        if cursor.peek("short", "near"):
            short = cursor.next("").text.lower() == "short"
            self.near = not short
        size = size or self._size()
        if cursor.take("["):
            return self._memory(Mem(ZERO, column, size=size))
        expr = cursor.expression()
        if isinstance(expr, Register):
            if cursor.peek(":", "["):
                hint = f"write [{expr.name}:...]"
                raise SourceError("a segment stands inside the brackets in NASM", cursor.column, hint)
            return Reg(_STACK.get(expr.name, "st(0)" if expr.name == "st" else expr.name), column)
        if cursor.peek("["):
            raise SourceError("an address is one pair of brackets in NASM", cursor.column, "write [table + rdi*4]")
        plain(expr)
        return Bare(expr, column, short) if branch else Imm(expr, column, size)

    def _size(self) -> int:
        cursor = self._cursor
        if cursor.peek("strict"):
            raise SourceError("strict is not supported; use --assembler nasm", cursor.column)
        if not cursor.peek(*_SIZES):
            return 0
        size = _SIZES[cursor.next("").text.lower()]
        cursor.take("ptr")
        return size

    def _memory(self, mem: Mem) -> Mem:
        """What stands in brackets, up to the closing one."""
        cursor = self._cursor
        relative = False
        explicit = ""
        if cursor.peek(*_SIZES):
            raise SourceError("the size of a displacement cannot be chosen; use --assembler nasm", cursor.column)
        while cursor.peek("rel", "abs"):
            explicit = cursor.next("").text.lower()
        if cursor.peek(*SEGMENTS):
            mem = replace(mem, segment=cursor.next("").text.lower())
            cursor.expect(":")
        while cursor.peek("rel", "abs"):
            explicit = cursor.next("").text.lower()
        terms = Terms(ZERO)
        terms.add(cursor.expression(), negative=False)
        cursor.expect("]")
        base, index, scale = _registers(terms, mem.column)
        if not base and not index:
            implied = self._relative and mem.segment not in ("fs", "gs") and not self._known(terms.disp)
            relative = explicit == "rel" or (implied and not explicit)
            if relative and self._known(terms.disp):
                raise SourceError("rel needs a label, not a number", mem.column)
        return replace(mem, disp=terms.disp, base="rip" if relative else base, index=index, scale=scale)


def _registers(terms: Terms, column: int) -> tuple[str, str, Expr]:
    """(base, index, scale) in NASM's choice: [rax*2] is [rax + rax], [rax*3] is [rax + rax*2]."""
    if len(terms.found) == 1:
        register, scale = terms.found[0]
        if isinstance(scale, Number) and scale.value in (2, 3, 5, 9) and register.name in ADDRESSING:
            if register.name in ("rsp", "esp", "rip"):
                raise SourceError(f"{register.name} cannot be an index", register.column)
            return register.name, register.name, Number(scale.value - 1)
        if isinstance(scale, Number) and scale.value == 1:
            return register.name, "", Number(1)
    return terms.registers(column)


def plain(expr: Expr) -> Expr:
    """`expr`, checked to hold no register."""
    match expr:
        case Register(name, column):
            raise SourceError(f"register {name} inside an expression", column)
        case Binary(_, left, right):
            plain(left)
            plain(right)
        case Unary(_, operand):
            plain(operand)
        case Number() | Symbol():
            pass
    return expr
