"""Why the assembler has no bytes for an instruction, in the words of somebody who knows which mistakes are made.

What an instruction asks for is compared with what its kind can do, from the commonest mistake to the rarest. Nothing
here decides whether an instruction is good: that has been decided when it gets here.
"""

from collections.abc import Callable, Sequence
from typing import Final

from emu.asm import tables
from emu.asm.errors import SourceError
from emu.asm.expr import Symbol
from emu.asm.hints import near
from emu.asm.instructions import Instruction, Key
from emu.asm.mnemonics import COMMON, OPERANDS
from emu.asm.operands import Bare
from emu.asm.verify import Want

_ALU: Final = frozenset(("mov", "add", "sub", "adc", "sbb", "and", "or", "xor", "cmp", "test"))
_SHIFTS: Final = frozenset(("shl", "sal", "shr", "sar", "rol", "ror", "rcl", "rcr"))
_ONE: Final = frozenset(("inc", "dec", "neg", "not", "mul", "div", "idiv", "pop"))
_SEGMENTS: Final = frozenset(("cs", "ds", "es", "fs", "gs", "ss"))

_HIGH_BYTES: Final = frozenset(("ah", "bh", "ch", "dh"))
_LOW_BYTES: Final = frozenset(("spl", "bpl", "sil", "dil"))

Finding = tuple[str, str]  # message, hint


def diagnose(key: Key, mistake: SourceError) -> SourceError:
    """`mistake`, or a better one about the same instruction."""
    for look in _LOOKS:
        found = look(key.mnemonic, key.wants)
        if found is not None:
            return SourceError(found[0], 0, found[1])
    if mistake.message.startswith("Invalid mnemonic"):
        return SourceError(*_unknown(key.mnemonic, key.wants))
    if mistake.message.startswith("Invalid operand"):
        shown = key.text.split("  #")[0]
        mistake.message = f"no form of {key.mnemonic} takes these operands: {shown}"
    return mistake


def _unknown(name: str, wants: Sequence[Want]) -> tuple[str, int, str]:
    hint = near(name, COMMON)
    if not hint and not wants:
        hint = f"is {name} a label? Labels end with a colon: {name}:"
    elif not wants:
        hint += f" A label would end with a colon: {name}:"
    return f"unknown instruction {name}", 0, hint


def _count(name: str, wants: Sequence[Want]) -> Finding | None:
    """As many operands as the instruction takes."""
    allowed = OPERANDS.get(name)
    if allowed is None or len(wants) in allowed:
        return None
    numbers = " or ".join(str(n) for n in allowed)
    plural = "" if allowed == (1,) else "s"
    hint = f"{name} DESTINATION, SOURCE: is a comma missing?" if allowed == (2,) and len(wants) == 1 else ""
    return f"{name} takes {numbers if allowed != (0,) else 'no'} operand{plural}, not {len(wants)}", hint


def two_memory_operands(instruction: Instruction) -> SourceError:
    """That mistake, with what is usually meant where one of the two is the name of a label."""
    label = next((op for op in instruction.operands if isinstance(op, Bare)), None)
    hint = "load one of them into a register first"
    if label is not None and isinstance(label.expr, Symbol):
        name = label.expr.shown
        hint = f"{name} means the memory there; its address is `offset {name}`, or lea a register, [rip + {name}] first"
    return SourceError(f"{instruction.mnemonic} cannot have two memory operands", instruction.column, hint)


def _memory_twice(name: str, wants: Sequence[Want]) -> Finding | None:
    if len(wants) == 2 and all(w.kind == "mem" for w in wants) and name not in ("movs", "cmps"):
        hint = "load one of them into a register first; the address of a label is `offset LABEL`"
        return f"{name} cannot have two memory operands", hint
    return None


def _into_number(name: str, wants: Sequence[Want]) -> Finding | None:
    if len(wants) == 2 and wants[0].kind == "imm" and name in ("cmp", "test"):
        return f"the first operand of {name} is a number", f"{name} REGISTER, NUMBER"
    if len(wants) == 1 and wants[0].kind == "imm" and name in _ONE:
        return f"{name} takes a register or memory, not a number", "put the number into a register first"
    if len(wants) == 2 and wants[0].kind == "imm" and (name in _ALU or name in _SHIFTS):
        hint = f"{name} DESTINATION, SOURCE; memory at an address is [ADDRESS]"
        return f"the destination of {name} is a number", hint
    return None


def _narrow_stack(name: str, wants: Sequence[Want]) -> Finding | None:
    if name in ("pushl", "popl"):
        return f"{name} does not exist in 64-bit code", f"use {name[:-1]}q"
    if name in ("push", "pop") and len(wants) == 1 and wants[0].size in (1, 4) and wants[0].kind != "imm":
        bits = 8 * wants[0].size
        hint = f"use {_wide(wants[0].reg)}" if wants[0].reg else "say qword ptr"
        return f"{name} of {bits} bits does not exist in 64-bit code", hint
    return None


def _branch(name: str, wants: Sequence[Want]) -> Finding | None:
    """An indirect jmp or call is of 64 bits."""
    if name not in ("jmp", "call") or len(wants) != 1 or wants[0].kind == "imm" or wants[0].size in (0, 8):
        return None
    bits = 8 * wants[0].size
    wide = f"use {_wide(wants[0].reg)}" if wants[0].reg and wants[0].size < 8 else "say qword ptr"
    return f"{name} to an address of {bits} bits does not exist in 64-bit code", wide


def _flags(name: str, wants: Sequence[Want]) -> Finding | None:
    """setCC writes a byte, cmovCC moves 16 bits or more."""
    if name[:3] == "set" and name[3:] in tables.CONDITIONS and len(wants) == 1 and wants[0].size > 1:
        hint = f"use {_sized(wants[0].reg, 1)}, and movzx before or behind it" if wants[0].reg else "say byte ptr"
        return f"{name} sets one byte", hint
    if name[:4] == "cmov" and name[4:] in tables.CONDITIONS and any(w.size == 1 for w in wants):
        return f"{name} moves 16, 32 or 64 bits", "use the 32-bit registers"
    return None


def _lea(name: str, wants: Sequence[Want]) -> Finding | None:
    if name == "lea" and len(wants) == 2 and wants[1].kind != "mem":
        return "lea needs an address in brackets as its second operand", "lea rsi, [rip + LABEL]; mov copies a value"
    return None


def _shift_count(name: str, wants: Sequence[Want]) -> Finding | None:
    if name in _SHIFTS and len(wants) == 2 and wants[1].kind == "reg" and wants[1].reg != "cl":
        return f"{name} takes its count from cl or a number, not from {wants[1].reg}", "mov the count into cl first"
    return None


def _extension(name: str, wants: Sequence[Want]) -> Finding | None:
    if name in ("movzx", "movsx") and len(wants) == 2 and wants[1].size in (4, 8):
        to, source = wants[0].reg or "the destination", wants[1].reg or "memory"
        if name == "movsx" and wants[1].size == 4:
            return "movsx extends 8 or 16 bits", "from 32 bits it is movsxd"
        return f"{name} extends 8 or 16 bits", f"a 32-bit mov clears the upper half of {to}" if source else ""
    return None


def _widths(name: str, wants: Sequence[Want]) -> Finding | None:
    """Both operands of the common instructions are equally wide."""
    if name not in _ALU | {"xchg", "cmpxchg", "xadd"} and not name.startswith("cmov"):
        return None
    if len(wants) != 2 or any(w.kind == "imm" or not w.size or w.size > 8 for w in wants):
        return None
    a, b = wants
    if a.size == b.size or any(w.reg[:2] in ("cr", "dr") or w.reg in _SEGMENTS for w in wants):
        return None
    shown = [f"{w.reg or 'the memory operand'} has {8 * w.size} bits" for w in wants]
    hint = ""
    if b.kind == "reg" and a.kind == "reg":
        extends = a.size > b.size and b.size < 4
        hint = "movzx or movsx extends" if extends else f"use {_sized(a.reg, b.size)} or {_sized(b.reg, a.size)}"
    return f"{shown[0]}, {shown[1]}", hint


def _number(name: str, wants: Sequence[Want]) -> Finding | None:
    """Numbers that the destination cannot hold."""
    if len(wants) != 2 or wants[1].kind != "imm" or not wants[0].size:
        return None
    value, size = wants[1].imm, wants[0].size
    if name in _SHIFTS and not 0 <= value < 256:
        return f"{value} is not a shift count", "shifts by 0 to 63"
    if name not in _ALU:
        return None
    bits = 8 * size
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        where = wants[0].reg or "the memory operand"
        shown = value if abs(value) < 100_000 else f"{value:#x}"
        hint = f"from {-(1 << (bits - 1))} to {(1 << bits) - 1}" if bits < 64 else ""
        return f"{shown} does not fit into {where}, which has {bits} bits", hint
    if size == 8 and not -(1 << 31) <= value < 1 << 31:
        register = name == "mov" and wants[0].kind == "reg"
        hint = "" if register else "put the number into a register first: mov REGISTER, NUMBER"
        return f"{name} takes a sign-extended 32-bit number, {value:#x} is none", hint
    return None


def _kinds(name: str, wants: Sequence[Want]) -> Finding | None:
    """General registers where vector registers belong, and back."""
    if name not in _ALU or not any(w.reg[:3] in ("xmm", "ymm") or w.reg[:2] in ("mm", "st") for w in wants):
        return None
    other = {"mov": "movq, movaps or movups", "add": "addss, addsd or paddq", "xor": "pxor"}.get(name)
    return f"{name} works on general registers and memory", f"for vector registers there is {other}" if other else ""


def _interrupt(name: str, wants: Sequence[Want]) -> Finding | None:
    if name == "int" and wants and wants[0].kind == "imm" and not 0 <= wants[0].imm < 256:
        return f"{wants[0].imm:#x} is not an interrupt number", "0 to 0xff; system calls are made by `syscall`"
    return None


def _high_byte(name: str, wants: Sequence[Want]) -> Finding | None:
    """ah, bh, ch and dh are the encodings that a REX prefix gives to spl, bpl, sil and dil (SDM vol. 2, 2.2.1.2)."""
    high = next((w.reg for w in wants if w.reg in _HIGH_BYTES), "")
    if not high:
        return None
    wide = [w.reg for w in wants if w.kind == "reg" and w.size == 8]
    others = [r for w in wants for r in (w.reg, w.base, w.index) if _needs_rex(r)]
    other = next(iter((*wide, *others)), "")
    return (f"{high} does not go with {other}", f"mov it to {high[0]}l first") if other else None


def _needs_rex(register: str) -> bool:
    return register in _LOW_BYTES or (register[:1] == "r" and register[1:2].isdigit())


def _wide(register: str) -> str:
    return _sized(register, 8)


def _sized(register: str, size: int) -> str:
    """The register of that width which contains, or is contained in, this one."""
    name = register.rstrip("dwb") if register[:1] == "r" and register[1:2].isdigit() else register
    if name[:1] == "r" and name[1:2].isdigit():
        return name + {8: "", 4: "d", 2: "w", 1: "b"}[size]
    stem = name.lstrip("re") if name[:1] in "re" else name
    stem = stem.rstrip("lhx") if stem[:1] in "abcd" and len(stem) == 2 else stem.removesuffix("l")
    if stem in ("a", "b", "c", "d"):
        return {8: f"r{stem}x", 4: f"e{stem}x", 2: f"{stem}x", 1: f"{stem}l"}[size]
    return {8: f"r{stem}", 4: f"e{stem}", 2: stem, 1: f"{stem}l"}[size]


_LOOKS: Final[tuple[Callable[[str, Sequence[Want]], Finding | None], ...]] = (
    _count, _flags, _branch, _memory_twice, _into_number, _narrow_stack, _lea, _shift_count, _extension, _kinds,
    _widths, _high_byte, _number, _interrupt,
)  # fmt: skip
