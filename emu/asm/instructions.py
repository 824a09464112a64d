"""One instruction: from parsed operands to the text Keystone is given, and from its bytes to the final ones.

Keystone never sees source. It gets one line in Intel syntax written here, numbers in hexadecimal, no symbols: an
address that is not settled yet is a placeholder in a field of its final width, found again in the bytes and
replaced once the layout is known. So an instruction has one encoding however often the layout changes, except where a
plain number chooses it (`add rax, end - start`).

Three kinds are not left to Keystone: branches (they choose between two sizes, see emu.asm.layout), `push` of a number
(it cuts 0xffff to 0xff) and the handful in tables.FIXED.
"""

from dataclasses import replace
from typing import Final, Literal, NamedTuple

from emu.asm import tables
from emu.asm.errors import SourceError
from emu.asm.expr import Lookup, Value, evaluate
from emu.asm.operands import REGISTER_SIZE, SIZES, Bare, Imm, Mem, Operand, Reg
from emu.asm.verify import Decode, Want, explain

#: Numbers that no field narrower than theirs can hold, by width in bytes.
PLACEHOLDER: Final = {1: 0x5A, 2: 0x3E5A, 4: 0x7A5C3E18, 8: 0x7A5C_3E18_5C3E_187A}
DISP_PLACEHOLDER: Final = 0x6B4D_2F17
_SIZE_NAMES: Final = {size: name for name, size in SIZES.items() if name not in ("mmword", "oword")}


class Instruction(NamedTuple):
    """A parsed instruction; operands in Intel order. `prefixes` are bytes to put in front."""

    mnemonic: str
    operands: tuple[Operand, ...]
    column: int
    prefixes: bytes = b""


class Patch(NamedTuple):
    """A field to fill in: `where` the placeholder is, its width, and the value. rip: value minus end of instruction."""

    where: Literal["imm", "disp", "rip"]
    width: int
    value: int


class Key(NamedTuple):
    """What decides an encoding: the text for Keystone, and whether its [rip + disp] means an absolute address."""

    text: str
    mnemonic: str
    wants: tuple[Want, ...]
    absolute: bool


class Rendered(NamedTuple):
    """An instruction with the values of one pass put in."""

    key: Key
    patches: tuple[Patch, ...]


def render(instruction: Instruction, lookup: Lookup) -> Rendered:
    """The text for Keystone and the fields to patch. Raises SourceError for what cannot be encoded."""
    name = instruction.mnemonic
    operands = [_settle(op, name, lookup) for op in instruction.operands]
    operands = _sized(name, operands, instruction.column)
    texts: list[str] = []
    wants: list[Want] = []
    patches: list[Patch] = []
    absolute = False
    for operand in operands:
        text, want, patch = _operand(operand, name, operands, lookup)
        texts.append(text)
        wants.append(want)
        if patch:
            patches.append(patch)
        absolute |= patch is not None and patch.where == "disp" and not want.base and not want.index
    text = f"{name} {', '.join(texts)}".rstrip()
    return Rendered(Key(text, name, tuple(wants), absolute), tuple(patches))


def _settle(operand: Operand, name: str, lookup: Lookup) -> Operand:
    """Decides what a bare expression is, as GNU as does: an address is memory, a number is an immediate."""
    if not isinstance(operand, Bare):
        return operand
    memory = operand.size or operand.segment or name == "lea" or evaluate(operand.expr, lookup).refs
    if not memory:
        return Imm(operand.expr, operand.column)
    return Mem(operand.expr, operand.column, size=operand.size, segment=operand.segment)


def _sized(name: str, operands: list[Operand], column: int) -> list[Operand]:
    """Memory of push, pop, call and jmp is 8 bytes; elsewhere a width that nothing implies is a mistake."""
    if name in tables.QWORD_DEFAULT:
        return [replace(op, size=8) if isinstance(op, Mem) and not op.size else op for op in operands]
    if name not in tables.NEEDS_SIZE or not any(isinstance(op, Mem) and not op.size for op in operands):
        return operands
    if not any(isinstance(op, Reg) for op in operands) or name in tables.SIZE_APART:
        raise SourceError("size of the memory operand is not clear: say byte, word, dword or qword ptr", column)
    return operands


def _operand(operand: Operand, name: str, operands: list[Operand], lookup: Lookup) -> tuple[str, Want, Patch | None]:
    match operand:
        case Reg(register):
            return register, Want("reg", REGISTER_SIZE[register], reg=register), None
        case Imm(expr):
            return _immediate(evaluate(expr, lookup), _immediate_width(name, operands), operand.column)
        case Mem():
            return _memory(operand, name, lookup)
        case Bare():
            raise AssertionError("settled before")


def _immediate_width(name: str, operands: list[Operand]) -> int:
    """Bytes an address takes as immediate of this instruction."""
    if name == "movabs":
        return 8
    first = operands[0]
    size = REGISTER_SIZE[first.name] if isinstance(first, Reg) else first.size if isinstance(first, Mem) else 4
    return size if size in (1, 2) else 4


def _immediate(value: Value, width: int, column: int) -> tuple[str, Want, Patch | None]:
    if value.refs:
        number = PLACEHOLDER[width]
        if width < 4:
            raise SourceError(f"an address does not fit into {width} byte{'s' * (width > 1)}", column)
        return f"{number:#x}", Want("imm", imm=number), Patch("imm", width, value.number)
    number = _signed(value.number)
    return f"{number:#x}", Want("imm", imm=number), None


def _signed(number: int) -> int:
    """Numbers of the upper half of 64 bits as the negative ones they are."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _memory(mem: Mem, name: str, lookup: Lookup) -> tuple[str, Want, Patch | None]:
    disp = evaluate(mem.disp, lookup)
    number = _signed(disp.number)
    if REGISTER_SIZE.get(mem.base or mem.index, 8) == 4 and 1 << 31 <= number < 1 << 32:
        number -= 1 << 32
    if not -(1 << 31) <= number < 1 << 31:
        raise SourceError(f"displacement {disp.number:#x} does not fit into 32 bits", mem.column)
    absolute = not (mem.base or mem.index)
    if absolute and name == "movabs":
        raise SourceError("movabs with a memory operand is not supported; use --assembler gas", mem.column)
    patch = None
    if disp.refs or absolute:
        patch = Patch("rip" if mem.base == "rip" else "disp", 4, number)
        number = DISP_PLACEHOLDER
    scale = evaluate(mem.scale, lookup).number
    if scale not in (1, 2, 4, 8):
        raise SourceError(f"scale {scale} is not 1, 2, 4 or 8", mem.column)
    want = Want("mem", mem.size, "", 0, mem.segment, mem.base, mem.index, scale, number)
    return _memory_text(want), want, patch


def _memory_text(want: Want) -> str:
    size = f"{_SIZE_NAMES[want.size]} ptr " if want.size else ""
    segment = f"{want.segment}:" if want.segment else ""
    terms = [want.base] if want.base else []
    if want.index:
        terms.append(f"{want.index}*{want.scale}")
    terms = terms or ["rip"]  # an absolute address, made one in Encoding.of
    sign = "-" if want.disp < 0 else "+"
    disp = f" {sign} {abs(want.disp):#x}" if want.disp else ""
    return f"{size}{segment}[{' + '.join(terms)}{disp}]"


class Encoding(NamedTuple):
    """Verified bytes, placeholders still in them. `disp_at` is where the displacement's is, -1 without one."""

    data: bytes
    disp_at: int

    @classmethod
    def of(cls, key: Key, data: bytes, decode: Decode) -> "Encoding":
        """Checks what Keystone made of `key`. Raises SourceError when it is not what was asked for."""
        if not data:
            raise SourceError("the assembler produced no bytes for this")
        pattern = DISP_PLACEHOLDER.to_bytes(4, "little")
        at = data.find(pattern)
        if key.absolute:
            data, at = _absolute(data, at)
        reason = explain(key.mnemonic, key.wants, data, decode)
        if reason is not None:
            raise SourceError(f"cannot be encoded as written: {data.hex(' ')} {reason}")
        return cls(data, at)

    def patched(self, patches: tuple[Patch, ...], end: int) -> bytes:
        """The bytes with every field filled in. `end` is the address behind the instruction."""
        data = bytearray(self.data)
        for patch in patches:
            value = patch.value - end if patch.where == "rip" else patch.value
            at = len(data) - patch.width if patch.where == "imm" else self.disp_at
            expected = PLACEHOLDER[patch.width] if patch.where == "imm" else DISP_PLACEHOLDER
            if at < 0 or self.data[at : at + patch.width] != expected.to_bytes(patch.width, "little"):
                raise SourceError("the encoding has no field that can hold this address")
            data[at : at + patch.width] = field(value, patch.width)
        return bytes(data)


def _absolute(data: bytes, at: int) -> tuple[bytes, int]:
    """Turns [rip + disp32] into [disp32]: ModRM r/m 101 with mod 00 becomes a SIB byte without base and index.

    Source: SDM vol. 2 table 2-3; 2.2.1.6 (in 64-bit mode the short form means rip-relative, the SIB form absolute).
    """
    if at < 1 or data[at - 1] & 0xC7 != 0x05:
        raise SourceError("this instruction cannot take an absolute address")
    return data[: at - 1] + bytes([data[at - 1] & 0x38 | 0x04, 0x25]) + data[at:], at + 1


def field(value: int, width: int) -> bytes:
    """`value` in `width` little-endian bytes, signed or unsigned; SourceError when it does not fit."""
    bits = 8 * width
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise SourceError(f"value {value:#x} does not fit into {width} byte{'s' * (width > 1)}")
    return (value % (1 << bits)).to_bytes(width, "little")


def direct(instruction: Instruction, lookup: Lookup) -> bytes | None:
    """The bytes of push imm8 or imm32, sign-extended to 64 bits (SDM vol. 2 PUSH: 6A ib, 68 id); None for the rest."""
    if instruction.mnemonic != "push" or len(instruction.operands) != 1:
        return None
    operand = _settle(instruction.operands[0], "push", lookup)
    if not isinstance(operand, Imm):
        return None
    value = evaluate(operand.expr, lookup)
    number = _signed(value.number)
    if not -(1 << 31) <= number < 1 << 31:
        raise SourceError(f"push takes a sign-extended 32-bit number, {value.number:#x} is none", operand.column)
    if -128 <= number < 128 and not value.refs:
        return b"\x6a" + field(number, 1)
    return b"\x68" + field(number, 4)
