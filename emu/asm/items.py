"""What a parsed source file consists of: one object per thing that defines something or emits bytes."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emu.asm.expr import Expr
from emu.asm.instructions import Instruction
from emu.asm.sources import Place

READ: Final = 4  # the values of PF_R, PF_W, PF_X in program headers
WRITE: Final = 2
EXEC: Final = 1


@dataclass(slots=True)
class Section:
    """A section and its place. `flags` is READ | WRITE | EXEC; `zero`: no bytes in the file; `discard`: not loaded."""

    name: str
    flags: int
    zero: bool = False
    discard: bool = False
    base: int = 0  # address, set by the layout
    size: int = 0


class Label(NamedTuple):
    name: str


class Assign(NamedTuple):
    """NAME = expr. A `.equ` may be repeated: uses see the last one before them."""

    name: str
    expr: Expr


class Data(NamedTuple):
    """Integers of `width` bytes each."""

    width: int
    values: tuple[Expr, ...]


class Bytes(NamedTuple):
    """Bytes known while parsing: strings, floats, instructions with one encoding."""

    data: bytes
    code: bool = False


class Fill(NamedTuple):
    """`repeat` times `value` in `width` bytes; `low`: of 8 bytes GNU as fills the lower four only."""

    repeat: Expr
    width: int
    value: Expr
    low: bool = False


class Align(NamedTuple):
    """Padding up to a multiple; `power`: the operand is the exponent. No fill means nops in code, zeros elsewhere."""

    boundary: Expr
    fill: Expr | None
    limit: Expr | None
    power: bool


class Org(NamedTuple):
    """Padding with bytes of `fill` up to an address of the section, or to that offset in it."""

    target: Expr
    fill: Expr


class Load(NamedTuple):
    """NASM's `mov` of a constant to a 64-bit register, in the shortest of its three forms. `register` is 0 to 15."""

    register: int
    value: Expr


class Branch(NamedTuple):
    """A relative branch: opcodes with an 8-bit and a 32-bit displacement; empty means there is no such form."""

    short: bytes
    near: bytes
    target: Expr
    prefixes: bytes = b""


What = Label | Assign | Data | Bytes | Fill | Align | Org | Load | Branch | Instruction


@dataclass(slots=True)
class Item:
    """One thing at one place. Mutable: the layout keeps its address and size here."""

    what: What
    section: Section
    place: Place
    column: int
    address: int = 0
    size: int = 0
    wide: bool = False  # a branch that needed its long form once keeps it, so that the layout settles

    @property
    def is_code(self) -> bool:
        """True for instructions, as against data in an executable section."""
        what = self.what
        return isinstance(what, Branch | Instruction | Load) or (isinstance(what, Bytes) and what.code)


class Inclusion(NamedTuple):
    """`place` brings in file number `file` in front of item number `item`."""

    item: int
    place: Place
    file: int


#: In front of a symbol's name: the name of the hidden constant that holds its size.
SIZE: Final = "size#"


@dataclass(slots=True)
class Unit:
    """A parsed file. `globals` are names given to .global; `sections` in order of appearance.

    `types` has what .type says: name -> "function" or "object".
    """

    items: list[Item] = field(default_factory=list[Item])
    sections: list[Section] = field(default_factory=list[Section])
    globals: set[str] = field(default_factory=set[str])
    types: dict[str, str] = field(default_factory=dict[str, str])
    inclusions: list[Inclusion] = field(default_factory=list[Inclusion])
