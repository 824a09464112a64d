"""One instruction: from parsed operands to the text Keystone is given, and from its bytes to the final ones.

Keystone never sees source. It gets one line in Intel syntax written here, numbers in hexadecimal, no symbols: an
address that is not settled yet is a placeholder in a field of its final width, found again in the bytes and
replaced once the layout is known. So an instruction has one encoding however often the layout changes, except where a
plain number chooses it (`add rax, end - start`).

Not left to Keystone are branches (they choose between two sizes, see emu.asm.layout), what `direct` encodes (`push` of
a number: Keystone cuts 0xffff to 0xff) and what emu.asm.spelling.fixed knows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from emu.asm import features, tables
from emu.asm.corrections import DISP_PLACEHOLDER, corrected
from emu.asm.errors import SourceError
from emu.asm.expr import Lookup, Value, evaluate
from emu.asm.operands import REGISTER_SIZE, SEGMENT_PREFIX, SIZES, Bare, Imm, Mem, Operand, Reg
from emu.asm.spelling import spelled
from emu.asm.verify import Decode, Want, explain

#: Numbers that no field narrower than theirs can hold, by width in bytes.
PLACEHOLDER: Final = {1: 0x5A, 2: 0x3E5A, 4: 0x7A5C3E18, 8: 0x7A5C_3E18_5C3E_187A}
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


def instruction(name: str, operands: Sequence[Operand], column: int, prefixes: bytes) -> "Instruction":
    """An instruction for Keystone, in the spelling it reads. SourceError for one that this machine does not have."""
    absent = features.missing(name)
    if absent:
        raise SourceError(absent, column)
    spelling = spelled(name, operands)
    return Instruction(spelling.name, spelling.operands, column, prefixes + spelling.prefix)


def render(instruction: Instruction, lookup: Lookup) -> Rendered:
    """The text for Keystone and the fields to patch. Raises SourceError for what cannot be encoded."""
    name = instruction.mnemonic
    operands = [_settle(op, name, lookup) for op in instruction.operands]
    if operands and isinstance(operands[-1], Imm) and operands[-1].size:
        operands = _agreed(name, operands, operands[-1].size, lookup)
    operands = _sized(name, operands)
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
    value = evaluate(operand.expr, lookup)
    if operand.segment or value.refs or (operand.size and name in ("jmp", "call")):
        return Mem(operand.expr, operand.column, size=operand.size, segment=operand.segment)
    if name == "lea":
        raise SourceError("lea takes an address in brackets, not a number", operand.column)
    return Imm(operand.expr, operand.column, operand.size)


def _agreed(name: str, operands: list[Operand], size: int, lookup: Lookup) -> list[Operand]:
    """For a number that the source gives a width: memory in front takes it, anything else has to have it.

    But NASM's `byte` asks for the short form of arithmetic, and its `dword` for that of mov to 64 bits.
    """
    first, number = operands[0], operands[-1]
    if len(operands) != 2 or name not in tables.NEEDS_SIZE - tables.SIZE_APART or isinstance(first, Imm | Bare):
        return operands
    if isinstance(first, Mem) and not first.size:
        return [replace(first, size=size), number]
    width = REGISTER_SIZE[first.name] if isinstance(first, Reg) else first.size
    short = size == 1 and name in tables.SHORT_IMMEDIATE
    if short and isinstance(number, Imm) and not -128 <= _signed(evaluate(number.expr, lookup).number) < 128:
        raise SourceError("this number does not fit into a byte with a sign", number.column)
    if width != size and not short and not (name == "mov" and (width, size) == (8, 4) and isinstance(first, Reg)):
        shown = first.name if isinstance(first, Reg) else "the memory operand"
        raise SourceError(f"{shown} has {8 * width} bits, the number behind it {8 * size}", number.column)
    return operands


def _sized(name: str, operands: list[Operand]) -> list[Operand]:
    """Memory of push, pop, call and jmp is 8 bytes; elsewhere a width that nothing implies is a mistake."""
    if name in tables.QWORD_DEFAULT:
        return [replace(op, size=8) if isinstance(op, Mem) and not op.size else op for op in operands]
    if name not in tables.NEEDS_SIZE or not any(isinstance(op, Mem) and not op.size for op in operands):
        return operands
    if not any(isinstance(op, Reg) for op in operands) or name in tables.SIZE_APART:
        unclear = next(op for op in operands if isinstance(op, Mem) and not op.size)
        raise SourceError("the size of this memory operand is not clear", unclear.column)
    return operands


def _operand(operand: Operand, name: str, operands: list[Operand], lookup: Lookup) -> tuple[str, Want, Patch | None]:
    match operand:
        case Reg(register):
            return register, Want("reg", REGISTER_SIZE[register], reg=register), None
        case Imm(expr):
            return _immediate(evaluate(expr, lookup), name, _immediate_width(name, operands), operand.column)
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


def _immediate(value: Value, name: str, width: int, column: int) -> tuple[str, Want, Patch | None]:
    if value.refs:
        number = PLACEHOLDER[width]
        if width < 4:
            raise SourceError(f"an address does not fit into {width} byte{'s' * (width > 1)}", column)
        return f"{number:#x}", Want("imm", imm=number), Patch("imm", width, value.number)
    number = _signed(value.number)
    shown = number - 256 if 128 <= number < 256 and name in tables.BYTE_COUNTS else number  # Keystone wants it signed
    return f"{shown:#x}", Want("imm", imm=number), None


def _signed(number: int) -> int:
    """Numbers of the upper half of 64 bits as the negative ones they are."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _memory(mem: Mem, name: str, lookup: Lookup) -> tuple[str, Want, Patch | None]:
    disp = evaluate(mem.disp, lookup)
    number = _signed(disp.number)
    if REGISTER_SIZE.get(mem.base or mem.index, 8) == 4 and 1 << 31 <= number < 1 << 32:
        number -= 1 << 32
    if not -(1 << 31) <= number < 1 << 31:
        hint = "" if mem.base or mem.index else "movabs takes 64 bits, to and from al, ax, eax or rax only"
        raise SourceError(f"displacement {disp.number:#x} does not fit into 32 bits", mem.column, hint)
    absolute = not (mem.base or mem.index)
    patch = None
    if disp.refs or absolute:
        patch = Patch("rip" if mem.base == "rip" else "disp", 4, number)
        number = DISP_PLACEHOLDER
    scale = evaluate(mem.scale, lookup).number
    if scale not in (1, 2, 4, 8):
        raise SourceError(f"scale {scale} is not 1, 2, 4 or 8", mem.column)
    if name in tables.STRUCTURES and mem.size not in (0, 6, 10):
        raise SourceError(f"the operand of {name} is a structure and has no such size", mem.column)
    want = Want("mem", mem.size, "", 0, mem.segment, mem.base, mem.index, scale, number)
    return _memory_text(want if name not in tables.UNSIZED else replace(want, size=0)), want, patch


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
        data, at = corrected(key.mnemonic, key.wants, key.absolute, data)
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


def field(value: int, width: int) -> bytes:
    """`value` in `width` little-endian bytes, signed or unsigned; SourceError when it does not fit."""
    bits = 8 * width
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise SourceError(f"value {value:#x} does not fit into {width} byte{'s' * (width > 1)}")
    return (value % (1 << bits)).to_bytes(width, "little")


def direct(instruction: Instruction, lookup: Lookup) -> bytes | None:
    """The bytes of an instruction whose immediates Keystone cuts or cannot take; None for all others."""
    name, operands = instruction.mnemonic, instruction.operands
    if name in ("push", "pushw") and len(operands) == 1:
        operand = _settle(operands[0], name, lookup)
        if not isinstance(operand, Imm):
            return None
        value = evaluate(operand.expr, lookup)
        if operand.size == 1 and not -128 <= _signed(value.number) < 128:
            raise SourceError("this number does not fit into a byte with a sign", operand.column)
        return _push(value, 2 if name == "pushw" or operand.size == 2 else 8, operand.column)
    if name == "enter" and len(operands) == 2:
        return b"\xc8" + b"".join(_number(op, width, lookup) for op, width in zip(operands, (2, 1), strict=True))
    if name == "movabs" and len(operands) == 2:
        return _far_absolute(operands, lookup)
    return None


def _number(operand: Operand, width: int, lookup: Lookup) -> bytes:
    operand = _settle(operand, "", lookup)
    if not isinstance(operand, Imm):
        raise SourceError("a number expected", operand.column)
    return field(evaluate(operand.expr, lookup).number, width)


def _push(value: Value, width: int, column: int) -> bytes:
    """push imm8 or imm16/imm32, sign-extended to `width` bytes (SDM vol. 2 PUSH: 6A ib, 68 iw/id)."""
    number = _signed(value.number)
    bits = min(32, 8 * width)
    if not -(1 << (bits - 1)) <= number < 1 << (bits - (width == 8)):
        raise SourceError(f"push takes a sign-extended {bits}-bit number, {value.number:#x} is none", column)
    prefix = b"\x66" if width == 2 else b""
    if -128 <= number < 128 and not value.refs:
        return prefix + b"\x6a" + field(number, 1)
    return prefix + b"\x68" + field(number, bits // 8)


def _far_absolute(operands: Sequence[Operand], lookup: Lookup) -> bytes | None:
    """mov between the accumulator and a 64-bit address: [66 | 48] A0 to A3 moffs (SDM vol. 2 MOV), or None."""
    settled = [_settle(op, "", lookup) for op in operands]
    store = isinstance(settled[0], Mem)
    memory, register = settled if store else settled[::-1]
    if not isinstance(memory, Mem):
        return None
    if not isinstance(register, Reg) or register.name not in _MOFFS or memory.base or memory.index:
        raise SourceError("movabs with memory takes al, ax, eax or rax and a bare address", memory.column)
    if memory.size not in (0, REGISTER_SIZE[register.name]):
        raise SourceError(f"memory and {register.name} differ in size", memory.column)
    prefix, opcode = _MOFFS[register.name]
    address = field(evaluate(memory.disp, lookup).number, 8)
    return SEGMENT_PREFIX.get(memory.segment, b"") + prefix + bytes([opcode + 2 * store]) + address


_MOFFS: Final = {"al": (b"", 0xA0), "ax": (b"\x66", 0xA1), "eax": (b"", 0xA1), "rax": (b"\x48", 0xA1)}
