"""Operands of instructions, in Intel and AT&T syntax, to one form.

Only the shape is decided here; values of expressions come later, when the layout is known (emu.asm.instructions).
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.expr import INTEL_OPERATORS, Binary, Cursor, Expr, Number, Register, Symbol, Unary

#: In the order of their numbers in an encoding.
_LEGACY: Final = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
GPR64: Final = (*(f"r{n}" for n in _LEGACY), *(f"r{n}" for n in range(8, 16)))
GPR32: Final = (*(f"e{n}" for n in _LEGACY), *(f"r{n}d" for n in range(8, 16)))
_GPR16: Final = (*_LEGACY, *(f"r{n}w" for n in range(8, 16)))
_GPR8: Final = (
    "al",
    "cl",
    "dl",
    "bl",
    "spl",
    "bpl",
    "sil",
    "dil",
    "ah",
    "ch",
    "dh",
    "bh",
    *(f"r{n}b" for n in range(8, 16)),
)
#: The number of the registers of 16 bits and more.
NUMBER_OF: Final = {name: n for names in (GPR64, GPR32, _GPR16) for n, name in enumerate(names)}
SEGMENTS: Final = ("es", "cs", "ss", "ds", "fs", "gs")
#: Segment override prefixes (SDM vol. 2, 2.1.1); ds is what most memory operands have anyway.
SEGMENT_PREFIX: Final = {"es": b"\x26", "cs": b"\x2e", "ss": b"\x36", "fs": b"\x64", "gs": b"\x65"}

#: Width in bytes by register name.
REGISTER_SIZE: Final[dict[str, int]] = {
    **dict.fromkeys(GPR64, 8),
    **dict.fromkeys(GPR32, 4),
    **dict.fromkeys(_GPR16, 2),
    **dict.fromkeys(_GPR8, 1),
    **dict.fromkeys(SEGMENTS, 2),
    **{f"{kind}{n}": size for kind, size in (("xmm", 16), ("ymm", 32)) for n in range(16)},
    **{f"mm{n}": 8 for n in range(8)},
    **{f"{kind}{n}": 8 for kind in ("cr", "dr") for n in range(16)},
    **{f"st({n})": 10 for n in range(8)},
    "st": 10,
    "rip": 8,
}
REGISTERS: Final = frozenset(REGISTER_SIZE)
ADDRESSING: Final = frozenset((*GPR64, *GPR32, "rip"))

SIZES: Final = {
    "byte": 1, "word": 2, "dword": 4, "fword": 6, "qword": 8, "mmword": 8, "tbyte": 10,
    "xmmword": 16, "oword": 16, "ymmword": 32,
}  # fmt: skip
#: Names that Intel syntax reads as something else where an operand or an operator is expected (any case).
RESERVED: Final = frozenset((*SIZES, *INTEL_OPERATORS, "zmmword", "ptr", "offset", "flat", "short", "near", "far"))
ZERO: Final = Number(0)
ONE: Final = Number(1)


class Reg(NamedTuple):
    name: str
    column: int


class Imm(NamedTuple):
    """A number; `size` is what the source says before it, 0 for nothing."""

    expr: Expr
    column: int
    size: int = 0


class Bare(NamedTuple):
    """An expression with nothing around it: a branch target, an immediate (a number) or memory (an address).

    `late`: its name is not defined yet, so that GNU as takes it for memory whatever it turns out to be.
    """

    expr: Expr
    column: int
    short: bool = False
    size: int = 0
    segment: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Mem:
    """[segment: base + index * scale + disp]; empty names are absent, size 0 is unsaid."""

    disp: Expr
    column: int
    base: str = ""
    index: str = ""
    scale: Expr = ONE
    segment: str = ""
    size: int = 0


Operand = Reg | Imm | Bare | Mem


def parse_operands(cursor: Cursor, att: bool) -> list[Operand]:
    """All operands up to the end of the statement, in Intel order (destination first)."""
    found: list[Operand] = []
    if cursor.token is None:
        return found
    while True:
        found.append(_att(cursor) if att else _intel(cursor))
        if not cursor.take(","):
            break
    cursor.finish()
    return found[::-1] if att else found


def _intel(cursor: Cursor) -> Operand:
    """One operand. Compilers write a jump through a table as [QWORD PTR table[0+rdi*8]]."""
    inside = [token.text.lower() for token in cursor.tokens[cursor.at : cursor.at + 3]]
    if inside[:1] != ["["] or inside[2:] != ["ptr"] or inside[1] not in SIZES:
        return _intel_operand(cursor)
    cursor.at += 1
    operand = _intel_operand(cursor)
    cursor.expect("]")
    if isinstance(operand, Bare):
        return Mem(operand.expr, operand.column, size=operand.size, segment=operand.segment)
    return operand


def _intel_operand(cursor: Cursor) -> Operand:
    column = cursor.column
    size = _size_prefix(cursor)
    short = _distance(cursor)
    if cursor.take("offset"):
        if cursor.take("flat"):
            cursor.expect(":")
        return Imm(_plain(cursor.expression()), column)
    segment = _intel_segment(cursor)
    rel = _relation(cursor, "[")
    if not cursor.peek("["):
        expr = cursor.expression()
        if isinstance(expr, Register):
            register = _intel_register(cursor, expr, column)
            if size not in (0, REGISTER_SIZE[register.name]):
                raise SourceError(f"{register.name} has not the size that stands before it", column)
            return register
        if not cursor.peek("["):
            return Bare(_plain(expr), column, short, size, segment)
    else:
        expr = ZERO
    return _intel_brackets(cursor, Mem(expr, column, segment=segment, size=size), rel)


def _relation(cursor: Cursor, *following: str) -> str:
    """NASM's `rel` or `abs` before [ or inside it; elsewhere these are names as others."""
    behind = cursor.tokens[cursor.at + 1 : cursor.at + 2]
    if not cursor.peek("rel", "abs") or not behind or not (behind[0].text in following or behind[0].kind == "name"):
        return ""
    cursor.at += 1
    return cursor.tokens[cursor.at - 1].text.lower()


def _size_prefix(cursor: Cursor) -> int:
    token = cursor.token
    if token is None or token.kind != "name" or token.text.lower() not in SIZES:
        return 0
    cursor.at += 1
    cursor.take("ptr")
    return SIZES[token.text.lower()]


def _distance(cursor: Cursor) -> bool:
    if cursor.peek("far"):
        raise SourceError("far branches are not supported", cursor.column)
    short = cursor.take("short")
    if short or cursor.take("near"):
        cursor.take("ptr")
    return short


def _intel_segment(cursor: Cursor) -> str:
    following = cursor.tokens[cursor.at + 1 : cursor.at + 2]
    if cursor.peek(*SEGMENTS) and following and following[0].text == ":":
        cursor.at += 2
        return cursor.tokens[cursor.at - 2].text.lower()
    return ""


def _intel_register(cursor: Cursor, register: Register, column: int) -> Reg:
    if register.name == "st" and cursor.take("("):
        number = cursor.next("a number")
        cursor.expect(")")
        return _reg(f"st({number.text})", column)
    return _reg(register.name, column)


def _reg(name: str, column: int) -> Reg:
    if name == "rip":
        raise SourceError("rip is not an operand; only [rip + ...] can name it", column)
    if name not in REGISTERS:
        raise SourceError(f"no such register: {name}", column)
    return Reg("st(0)" if name == "st" else name, column)


def _intel_brackets(cursor: Cursor, mem: Mem, rel: str) -> Mem:
    """What follows the text before the first bracket: one or more [...] whose contents add up."""
    terms = Terms(mem.disp)
    while cursor.take("["):
        segment = _intel_segment(cursor)
        rel = rel or _relation(cursor)
        mem = replace(mem, segment=segment or mem.segment)
        terms.add(cursor.expression(), negative=False)
        cursor.expect("]")
    base, index, scale = terms.registers(mem.column)
    if rel == "rel" and not base and not index:  # NASM: [rel label]
        base = "rip"
    return replace(mem, disp=terms.disp, base=base, index=index, scale=scale)


class Terms:
    """Sorts the sum inside brackets into registers, scales and a displacement."""

    def __init__(self, disp: Expr) -> None:
        self.disp = disp
        self.found: list[tuple[Register, Expr | None]] = []

    def add(self, expr: Expr, negative: bool) -> None:
        match expr:
            case Binary("+" | "-" as op, left, right):
                self.add(left, negative)
                self.add(right, negative ^ (op == "-"))
            case Binary("*", Register() as register, scale) | Binary("*", scale, Register() as register):
                self._register(register, _plain(scale), negative)
            case Register():
                self._register(expr, None, negative)
            case _:
                _plain(expr)
                self.disp = expr if self.disp == ZERO and not negative else self._sum(expr, negative)

    def _sum(self, expr: Expr, negative: bool) -> Expr:
        column = getattr(expr, "column", 0)
        return Binary("-" if negative else "+", self.disp, expr, column)

    def _register(self, register: Register, scale: Expr | None, negative: bool) -> None:
        if negative:
            raise SourceError(f"register {register.name} cannot be subtracted", register.column)
        if register.name not in ADDRESSING:
            raise SourceError(f"{register.name} cannot address memory", register.column)
        self.found.append((register, scale))

    def registers(self, column: int) -> tuple[str, str, Expr]:
        """(base, index, scale). A register without a scale is the base if that is free."""
        if len(self.found) > 2:
            raise SourceError("more than two registers in an address", column)
        base = next((r for r, scale in self.found if scale is None), None)
        rest = [(r, scale) for r, scale in self.found if r is not base]
        if len(rest) > 1:
            raise SourceError("two scaled registers in an address", column)
        index, scale = rest[0] if rest else (None, None)
        return _address(base, index, scale or ONE)


def _address(base: Register | None, index: Register | None, scale: Expr) -> tuple[str, str, Expr]:
    """Checks what one address may combine; swaps base and index where only one of them can be the index."""
    if index and index.name in ("rsp", "esp") and base and scale == ONE:
        base, index = index, base
    if index and (index.name == "rip" or (base and base.name == "rip")):
        raise SourceError("rip cannot be combined with other registers or a scale", index.column)
    if index and index.name in ("rsp", "esp"):
        raise SourceError(f"{index.name} cannot be an index", index.column)
    if base and index and REGISTER_SIZE[base.name] != REGISTER_SIZE[index.name]:
        raise SourceError(f"{base.name} and {index.name} differ in size", index.column)
    return base.name if base else "", index.name if index else "", scale


def _plain(expr: Expr) -> Expr:
    """`expr`, checked to hold no register."""
    match expr:
        case Register(name, column):
            raise SourceError(f"register {name} inside an expression", column)
        case Binary(_, left, right):
            _plain(left)
            _plain(right)
        case Unary(_, operand):
            _plain(operand)
        case Number() | Symbol():
            pass
    return expr


def _att(cursor: Cursor) -> Operand:
    column = cursor.column
    star = cursor.take("*")  # an indirect branch
    if cursor.take("$"):
        return Imm(cursor.expression(), column)
    segment = ""
    if cursor.peek("%"):
        name = _att_register(cursor)
        if name not in SEGMENTS or not cursor.take(":"):
            return _reg(name, column)
        segment = name
    disp: Expr = ZERO if _att_opens_address(cursor) else cursor.expression()
    if cursor.take("("):
        if _att_port(cursor):
            return Reg("dx", column)
        return _att_address(cursor, Mem(disp, column, segment=segment))
    if segment or star:
        return Mem(disp, column, segment=segment)
    return Bare(disp, column)


def _att_opens_address(cursor: Cursor) -> bool:
    following = cursor.tokens[cursor.at + 1 : cursor.at + 2]
    return cursor.peek("(") and bool(following) and following[0].text in ("%", ",")


def _att_port(cursor: Cursor) -> bool:
    """(%dx): not memory but the way in and out name their port; steps over it."""
    if [t.text.lower() for t in cursor.tokens[cursor.at : cursor.at + 3]] != ["%", "dx", ")"]:
        return False
    cursor.at += 3
    return True


def _att_register(cursor: Cursor) -> str:
    cursor.expect("%")
    token = cursor.next("a register")
    name = token.text.lower()
    if name == "st" and cursor.take("("):
        name = f"st({cursor.next('a number').text})"
        cursor.expect(")")
    if name[:2] == "db":
        name = "dr" + name[2:]
    if name not in REGISTERS:
        raise SourceError(f"no such register: %{token.text}", token.column)
    return name


def _att_address(cursor: Cursor, mem: Mem) -> Mem:
    """The rest of disp(base, index, scale), behind the parenthesis."""
    base = index = None
    scale: Expr = ONE
    if not cursor.peek(","):
        base = _address_register(cursor)
    if cursor.take(","):
        index = _address_register(cursor)
        if cursor.take(","):
            scale = cursor.expression()
    cursor.expect(")")
    base_name, index_name, scale = _address(base, index, scale)
    return replace(mem, base=base_name, index=index_name, scale=scale)


def _address_register(cursor: Cursor) -> Register:
    column = cursor.column
    name = _att_register(cursor)
    if name not in ADDRESSING:
        raise SourceError(f"{name} cannot address memory", column)
    return Register(name, column)
