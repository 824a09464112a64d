"""Other spellings of one instruction, brought to the one that Keystone reads and Capstone writes.

Assemblers and disassemblers leave out or write out operands that are implied, have names for special cases, and hide
a `wait` in front of x87 instructions. Sources: GNU as manual 9.16 (80386 dependent features), SDM vol. 2.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from emu.asm import strings, tables
from emu.asm.errors import SourceError
from emu.asm.expr import Number
from emu.asm.operands import GPR32, GPR64, NUMBER_OF, REGISTER_SIZE, SEGMENTS, Imm, Mem, Operand, Reg

#: x87 instructions that are `wait` and the one with an n (SDM vol. 2 FSTCW and its like).
_WAITING: Final = {f"f{n}": f"fn{n}" for n in ("clex", "init", "save", "stcw", "stenv", "stsw")}
_PCLMUL: Final = {"pclmullqlqdq": 0x00, "pclmulhqlqdq": 0x01, "pclmullqhqdq": 0x10, "pclmulhqhqdq": 0x11}
_FLOAT_STACK: Final = frozenset(("fadd", "fmul", "fsub", "fsubr", "fdiv", "fdivr"))
_ACCUMULATOR: Final = {1: "al", 2: "ax", 4: "eax", 8: "rax"}
#: With these a 64-bit register says no more than its lower half, and GNU as encodes that.
_LOW_HALF: Final = frozenset(
    ("pextrb", "pextrw", "pinsrb", "pinsrw", "pmovmskb", "movmskps", "movmskpd", "extractps", "str", "sldt")
)
_NARROW: Final = dict(zip(GPR64, GPR32, strict=True))
#: mov with its width in the name, when no vector register is among the operands.
_GENERAL: Final = {"movd": 4, "movq": 8}
_FAR: Final = frozenset(("lcall", "ljmp", "lds", "les", "lfs", "lgs", "lss"))
_XMM0_IMPLIED: Final = frozenset(("pblendvb", "blendvps", "blendvpd"))


class Spelled(NamedTuple):
    """An instruction in the one spelling; `prefix` is what goes in front of all else."""

    name: str
    operands: tuple[Operand, ...]
    prefix: bytes = b""


def fixed(name: str, operands: Sequence[Operand]) -> bytes | None:
    """The bytes of an instruction that has just one encoding and is not left to Keystone, or None."""
    if not operands:
        return tables.FIXED.get(name)
    if name in ("rdsspd", "rdsspq") and len(operands) == 1 and isinstance(operands[0], Reg):
        return _read_shadow_stack(name, operands[0])
    if name == "xchg":
        return _NO_EXCHANGE.get("".join(op.name if isinstance(op, Reg) else "?" for op in operands))
    return strings.encode(name, operands)


#: xchg of the accumulator with itself is the nop. (xchg eax, eax is not: it clears the upper half.)
_NO_EXCHANGE: Final = {"axax": b"\x66\x90", "raxrax": b"\x90"}


def _read_shadow_stack(name: str, register: Reg) -> bytes | None:
    """rdssp, a nop on CPUs without shadow stacks: F3 [REX] 0F 1E /1 (SDM vol. 2 RDSSPD)."""
    size = 8 if name == "rdsspq" else 4
    if REGISTER_SIZE[register.name] != size:
        return None
    number = (GPR64 if size == 8 else GPR32).index(register.name)
    rex = 0x40 | (size == 8) << 3 | number >> 3
    return b"\xf3" + (bytes([rex]) if rex > 0x40 else b"") + b"\x0f\x1e" + bytes([0xC8 | number & 7])


def spelled(name: str, operands: Sequence[Operand]) -> Spelled:
    """`name` and `operands` in the one spelling. Raises SourceError for a far pointer."""
    if name in _FAR and operands:
        raise SourceError(f"{name} takes a far pointer, which is not supported", operands[0].column)
    name = tables.MNEMONIC_SPELLING.get(name, name)
    found = tuple(operands)
    if name in _WAITING:
        name = _WAITING[name]
        return Spelled(name, _implied(name, found), b"\x9b")
    if name in _PCLMUL and len(found) == 2:
        return Spelled("pclmulqdq", (*found, Imm(Number(_PCLMUL[name]), found[0].column)))
    size = _GENERAL.get(name, 0)
    if size and all(_fits(op, size) for op in found):
        return Spelled("mov", tuple(_sized(op, size) for op in found))
    if name in ("pushw", "popw") and len(found) == 1 and isinstance(found[0], Reg | Mem) and _fits(found[0], 2):
        return Spelled(name[:-1], (_sized(found[0], 2),))
    if name == "movsx" and len(found) == 2 and isinstance(found[1], Mem) and found[1].size == 4:
        name = "movsxd"
    if name == "mov" and len(found) == 2:
        found = _selector(found)
    if name == "movd" and any(isinstance(op, Reg) and op.name in GPR64 for op in found):
        name = "movq"
    return Spelled(name, _implied(name, found)) if found or name not in _FLOAT_STACK else Spelled(name + "p", ())


def _implied(name: str, found: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """Operands with what is implied left out, or put in where Keystone wants it."""
    last = found[-1] if found else None
    if name == "fnstsw" and not found:
        return (Reg("ax", 0),)
    if name in _XMM0_IMPLIED and len(found) == 3 and isinstance(last, Reg) and last.name == "xmm0":
        return found[:-1]
    if name in ("div", "idiv") and len(found) == 2 and isinstance(found[0], Reg) and last is not None:
        size = REGISTER_SIZE[last.name] if isinstance(last, Reg) else last.size if isinstance(last, Mem) else 0
        if found[0].name == _ACCUMULATOR.get(size or REGISTER_SIZE[found[0].name]):
            return (_sized(last, REGISTER_SIZE[found[0].name]),)
    if name in _LOW_HALF:
        return tuple(op._replace(name=_NARROW.get(op.name, op.name)) if isinstance(op, Reg) else op for op in found)
    return found


def _selector(found: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """mov of a segment register: its other side is 32 bits where that needs no prefix (SDM vol. 2 MOV, 8C and 8E)."""
    to, source = found
    if isinstance(to, Reg) and isinstance(source, Reg):
        if to.name in SEGMENTS and source.name in NUMBER_OF:
            return to, source._replace(name=GPR32[NUMBER_OF[source.name]])
        if source.name in SEGMENTS and to.name in GPR64:
            return to._replace(name=_NARROW[to.name]), source
    return found


def _fits(operand: Operand, size: int) -> bool:
    """Whether an operand is a general register of this width, or has no width of its own."""
    if isinstance(operand, Reg):
        return REGISTER_SIZE[operand.name] == size and operand.name[:2] != "mm" and operand.name not in SEGMENTS
    return isinstance(operand, Imm) or operand.size in (0, size)


def _sized(operand: Operand, size: int) -> Operand:
    return replace(operand, size=size) if isinstance(operand, Mem) and not operand.size else operand
