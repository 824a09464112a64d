"""Addresses: passes over the items until nothing moves.

A pass walks all items in order, gives each its address and size, and defines the labels it meets. Values that a pass
does not know yet (a label further down) are those of the pass before; in the first pass the statement is put off.
Sizes change for three reasons: a branch does not reach and gets its long form (and keeps it), padding adapts, a plain
number that depends on addresses chooses another encoding. Branches start short and grow only in passes that guess
nothing, so that, as with GNU as, none is long without need. A layout in which a pass changes nothing is final; one
that has not settled after MAX_PASSES never will.
"""

from collections.abc import Callable, Iterator
from typing import Final

from emu.asm import nops
from emu.asm.engine import Engine, Refusal
from emu.asm.errors import SourceError, Undefined
from emu.asm.expr import Expr, Symbol, Value, evaluate
from emu.asm.instructions import Encoding, Instruction, Key, Rendered, direct, field, render
from emu.asm.items import (
    EXEC,
    WRITE,
    Align,
    Assign,
    Branch,
    Bytes,
    Data,
    Fill,
    Item,
    Label,
    Load,
    Org,
    Section,
    Unit,
)
from emu.asm.operands import Bare, Mem
from emu.asm.sources import Place
from emu.asm.verify import Decode

TEXT_BASE: Final = 0x401000  # the page before it holds the file's headers
PAGE: Final = 4096
MAX_PASSES: Final = 100
MAX_DATA: Final = 1 << 26  # bytes of all sections that are in the file
MAX_ZERO: Final = 1 << 44  # bytes of .bss
_LATE: Final = "a number that is defined further down: GNU as reads memory here, unless `offset` stands before it"
_GUESS: Final = 7  # bytes of an instruction not encoded yet


class Layout:
    """Lays out one unit. `constants` gives the value of a name the source does not define, or None."""

    def __init__(self, unit: Unit, engine: Engine, decode: Decode, constants: Callable[[str], int | None]) -> None:
        self._unit = unit
        self._engine = engine
        self._decode = decode
        self._constants = constants
        self.labels: dict[str, int] = {}
        self.values: dict[str, Value] = {}  # what .equ and = define
        self.mistakes: list[tuple[Place, SourceError]] = []
        self.remarks: list[tuple[Place, SourceError]] = []  # what is no mistake but another thing elsewhere
        self._encodings: dict[Key, Encoding | SourceError] = {}
        self._missing: dict[Key, None] = {}  # to be encoded before the next pass; ordered
        self._constant: dict[int, Rendered] = {}  # by id of an item whose text no symbol can change
        self._here = self._start = 0  # addresses of the statement and of its section
        self._symbolic = False  # a symbol was looked up
        self._changed, self._guessed = False, True
        self._grow = False  # branches may become wide: the pass before guessed nothing

    def settle(self) -> None:
        """Runs passes until one changes nothing; `mistakes` is what is wrong in the final one."""
        for _ in range(MAX_PASSES):
            self._pass()
            if self._missing:
                self._encode()
            elif self._too_big() or (not self._changed and (self._grow or self.mistakes)):
                return
        self.mistakes = [(self._unit.items[0].place, SourceError("sizes and addresses never settle"))]

    def emit(self) -> Iterator[tuple[Item, bytes]]:
        """Every item that takes room, with its bytes (none in a section of zeros), once the layout has settled.

        Values that turn out not to fit are added to `mistakes`, and `remarks` are made.
        """
        for item in self._unit.items:
            self._here, self._start = item.address, item.section.base
            try:
                data = self._bytes(item)
            except SourceError as mistake:
                self._mistake(item, mistake)
                continue
            if item.size and not item.section.discard:
                yield item, data

    def _bytes(self, item: Item) -> bytes:
        if item.section.zero and not isinstance(item.what, Assign):
            return b""
        match item.what:
            case Data(width, values):
                return self._integers(item.address, width, values)
            case Bytes(data):
                return data
            case Fill(_, width, value, _):
                return field(self._value(value).number, width) * (item.size // width)
            case Align(_, fill, _, _):
                if fill is None and item.section.flags & EXEC:
                    return nops.padding(item.size)
                return field(self._value(fill).number if fill else 0, 1) * item.size
            case Org(_, fill):
                return field(self._value(fill).number, 1) * item.size
            case Load(register, value):
                return load(register, self._value(value))
            case Branch():
                return self._branch_bytes(item, item.what)
            case Instruction():
                return self._instruction_bytes(item, item.what)
            case Assign(name, expr):  # again in order: a use sees the last assignment before it
                self._assign(name, expr)
                return b""
            case Label():
                return b""

    def _pass(self) -> None:
        before = dict(self.values)
        self._grow = not self._guessed
        self._changed = self._guessed = False
        self.mistakes = []
        for section in self._unit.sections:
            section.size = 0
        for item in self._unit.items:
            self._start = item.section.base
            self._here = item.address = item.section.base + item.section.size
            try:
                size = self._size(item)
            except SourceError as mistake:
                self._mistake(item, mistake)
                size = item.size or _GUESS
            self._changed |= size != item.size
            item.size = size
            item.section.size += size
        self._changed |= before != self.values
        self._place()

    def _mistake(self, item: Item, mistake: SourceError) -> None:
        self.mistakes.append((item.place, mistake.at(item.column)))

    def _place(self) -> None:
        """Sections one behind the other, each on pages of its own: code, constants, data, zeros."""
        address = TEXT_BASE
        for section in sorted(self._unit.sections, key=_rank):
            if section.discard:
                continue
            self._changed |= section.base != address
            section.base = address
            address += (section.size + PAGE - 1) // PAGE * PAGE

    def _too_big(self) -> bool:
        """Reports an image nobody can mean, before its bytes are made."""
        for zero, limit in ((False, MAX_DATA), (True, MAX_ZERO)):
            total = sum(s.size for s in self._unit.sections if s.zero is zero)
            if total > limit:
                biggest = max((i for i in self._unit.items if i.section.zero is zero), key=lambda i: i.size)
                self._mistake(
                    biggest, SourceError(f"the image is too large: {total:#x} bytes, the limit is {limit:#x}")
                )
                return True
        return False

    def _size(self, item: Item) -> int:
        match item.what:
            case Label(name):
                self._label(name, item.address)
                return 0
            case Assign(name, expr):
                self._assign(name, expr)
                return 0
            case Data(width, values):
                return len(self._integers(item.address, width, values))
            case Bytes(data):
                return len(data)
            case Fill(count, width, value, low):
                number = self._value(value).number
                if low and width == 8 and not 0 <= number < 1 << 32:
                    message = f"value {number:#x} does not fit into the lower 4 of 8 bytes, the only ones .fill sets"
                    raise SourceError(message, 0, ".rept N, .quad VALUE and .endr repeat any number")
                field(number, width)
                return width * self._count(count)
            case Align():
                return self._padding(item.address, item.what)
            case Org(target, _):
                return self._advance(item, self._value(target))
            case Load(register, value):
                return len(load(register, self._value(value)))
            case Branch():
                return self._branch_size(item, item.what)
            case Instruction():
                return self._instruction_size(item, item.what)

    def _label(self, name: str, address: int) -> None:
        if name in self.values:
            raise SourceError(f"{name} is a label and a constant")
        self._changed |= self.labels.get(name) != address
        self.labels[name] = address

    def _assign(self, name: str, expr: Expr) -> None:
        if name in self.labels:
            raise SourceError(f"{name} is a label and a constant")
        self.values[name] = self._value(expr)

    def _integers(self, address: int, width: int, values: tuple[Expr, ...]) -> bytes:
        """The bytes of a list of integers; `.` is the address of each."""
        data = b""
        for value in values:
            self._here = address + len(data)
            data += field(self._value(value).number, width)
        return data

    def _count(self, expr: Expr) -> int:
        count = self._value(expr).number
        if count < 0:
            raise SourceError(f"negative count {count}")
        return count

    def _padding(self, address: int, align: Align) -> int:
        boundary = self._value(align.boundary).number
        if align.power:
            boundary = 1 << boundary if 0 <= boundary < 32 else -1
        if boundary == 0:
            return 0
        if boundary < 0 or boundary & (boundary - 1) or boundary > MAX_DATA:
            raise SourceError(f"alignment {boundary} is not a power of two up to {MAX_DATA}")
        padding = -address % boundary
        return 0 if align.limit is not None and padding > self._value(align.limit).number else padding

    def _advance(self, item: Item, target: Value) -> int:
        """Bytes up to an address, or an offset in the section."""
        size = target.number - (item.address if target.refs else item.section.size)
        if size < 0:
            raise SourceError(f".org goes back {-size} bytes")
        return size

    def _branch_size(self, item: Item, branch: Branch) -> int:
        target = self._value(branch.target).number
        size = len(branch.prefixes) + len(branch.short) + 1
        reaches = -128 <= target - (item.address + size) < 128
        if branch.short and not item.wide and (reaches or not self._grow):
            return size
        if branch.near:
            item.wide |= self._grow
            return len(branch.prefixes) + len(branch.near) + 4
        raise SourceError(f"target is {target - item.address - size} bytes away, which this branch does not reach")

    def _branch_bytes(self, item: Item, branch: Branch) -> bytes:
        opcode = branch.near if item.size == len(branch.prefixes) + len(branch.near) + 4 else branch.short
        distance = self._value(branch.target).number - (item.address + item.size)
        width = item.size - len(branch.prefixes) - len(opcode)
        if not -(1 << (8 * width - 1)) <= distance < 1 << (8 * width - 1):
            raise SourceError(f"target is {distance:#x} bytes away, which this branch does not reach")
        return branch.prefixes + opcode + field(distance, width)

    def _instruction_size(self, item: Item, instruction: Instruction) -> int:
        known = direct(instruction, self._lookup)
        if known is not None:
            return len(instruction.prefixes) + len(known)
        key = self._render(item, instruction).key
        encoding = self._encodings.get(key)
        if encoding is None:
            self._missing[key] = None
            self._guessed = True
            return item.size or _GUESS
        if isinstance(encoding, SourceError):
            raise SourceError(encoding.message, instruction.column, encoding.hint)
        return len(instruction.prefixes) + len(encoding.data)

    def _instruction_bytes(self, item: Item, instruction: Instruction) -> bytes:
        for operand in instruction.operands:
            if isinstance(operand, Bare) and operand.late and not self._value(operand.expr).refs:
                self.remarks.append((item.place, SourceError(_LATE, operand.column)))
        known = direct(instruction, self._lookup)
        if known is not None:
            return instruction.prefixes + known
        rendered = self._render(item, instruction)
        encoding = self._encodings[rendered.key]
        assert isinstance(encoding, Encoding)
        return instruction.prefixes + encoding.patched(rendered.patches, item.address + item.size)

    def _render(self, item: Item, instruction: Instruction) -> Rendered:
        known = self._constant.get(id(item))
        if known is not None:
            return known
        self._symbolic = False
        try:
            rendered = render(instruction, self._lookup)
        except SourceError as mistake:
            if not mistake.message.startswith("the size of") or not self._all_memory(instruction):
                raise
            from emu.asm.diagnose import two_memory_operands  # most programs have no mistakes

            raise two_memory_operands(instruction) from None
        if not self._symbolic:
            self._constant[id(item)] = rendered
        return rendered

    def _all_memory(self, instruction: Instruction) -> bool:
        """Whether there are two operands, and both are memory."""
        return len(instruction.operands) == 2 and all(
            isinstance(op, Mem) or (isinstance(op, Bare) and bool(self._value(op.expr).refs))
            for op in instruction.operands
        )

    def _encode(self) -> None:
        """Has everything encoded that the last pass missed, and checks what comes back."""
        keys = list(self._missing)
        self._missing.clear()
        for key, answer in zip(keys, self._engine.encode([k.text for k in keys]), strict=True):
            try:
                if isinstance(answer, Refusal):
                    raise SourceError(f"{answer.message}: {key.text}")
                self._encodings[key] = Encoding.of(key, answer, self._decode)
            except SourceError as mistake:
                from emu.asm.diagnose import diagnose  # most programs have no mistakes

                self._encodings[key] = diagnose(key, mistake)

    def _value(self, expr: Expr) -> Value:
        return evaluate(expr, self._lookup)

    def _lookup(self, symbol: Symbol) -> Value:
        """The value of a symbol in this pass: the source's own first, then the constants of the system interface."""
        self._symbolic = True
        if symbol.name == ".":
            return Value(self._here, 1)
        if symbol.name == "$$":
            return Value(self._start, 1)
        address = self.labels.get(symbol.name)
        if address is not None:
            return Value(address, 1)
        value = self.values.get(symbol.name)
        if value is None:
            number = self._constants(symbol.name)
            value = None if number is None else Value(number)
        if value is None:
            self._guessed = True
            what = "label" if "#" in symbol.name else "symbol"
            raise Undefined(f"undefined {what} {symbol.shown}", symbol.column, symbol.name)
        return value


def load(register: int, value: Value) -> bytes:
    """mov r32, imm32 (B8 id, zero-extended), mov r64, imm32 (C7 /0 id, sign-extended) or mov r64, imm64 (B8 io).

    Source: SDM vol. 2 MOV. An address gets the widest, as a linker could put it anywhere.
    """
    number, high = value.number % (1 << 64), register >> 3
    opcode = bytes([0xB8 | register & 7])
    if value.refs:
        return bytes([0x48 | high]) + opcode + field(number, 8)
    if number < 1 << 32:
        return (b"\x41" if high else b"") + opcode + field(number, 4)
    if number >= (1 << 64) - (1 << 31):
        return bytes([0x48 | high, 0xC7, 0xC0 | register & 7]) + field(number - (1 << 64), 4)
    return bytes([0x48 | high]) + opcode + field(number, 8)


def _rank(section: Section) -> int:
    """Order in memory, as GNU ld has it: code, constants, data, zeros."""
    if section.flags & EXEC:
        return 0
    return 3 if section.zero else 2 if section.flags & WRITE else 1
