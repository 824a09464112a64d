"""String instructions whose operands are written out: `movs byte ptr [rdi], byte ptr [rsi]`, as disassemblers do.

The operands decide the width, the address size and the segment of the source; what they address is fixed. So their
encoding is a table (SDM vol. 2 MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS, XLAT).
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.operands import REGISTER_SIZE, SEGMENT_PREFIX, ZERO, Mem, Operand, Reg

Role = Literal["to", "from", "a", "dx", "table"]  # es:[rdi], ds:[rsi], al to rax, dx, ds:[rbx]


class _Form(NamedTuple):
    """The opcode of the byte form (the next one is for the other widths), and the operands in Intel order."""

    opcode: int
    roles: tuple[Role, ...]

    @property
    def addressed(self) -> tuple[Role, ...]:
        """The operands without the registers, which may be left out."""
        return tuple(role for role in self.roles if role != "a" and role != "dx")


_FORMS: Final[dict[str, _Form]] = {
    "movs": _Form(0xA4, ("to", "from")),
    "cmps": _Form(0xA6, ("from", "to")),
    "stos": _Form(0xAA, ("to", "a")),
    "lods": _Form(0xAC, ("a", "from")),
    "scas": _Form(0xAE, ("a", "to")),
    "ins": _Form(0x6C, ("to", "dx")),
    "outs": _Form(0x6E, ("dx", "from")),
    "xlat": _Form(0xD7, ("table",)),
}
_WIDTHS: Final = {"b": 1, "w": 2, "d": 4, "q": 8}
_BASES: Final = {"to": ("rdi", "edi"), "from": ("rsi", "esi"), "table": ("rbx", "ebx")}
_ACCUMULATORS: Final = ("al", "ax", "eax", "rax")


def encode(name: str, operands: Sequence[Operand]) -> bytes | None:
    """The bytes of a string instruction with operands, or None if this is none.

    `movsd` and `cmpsd` with an xmm register are not. Raises SourceError for operands that it cannot have.
    """
    form, width = _form(name)
    if form is None or not operands or any(isinstance(op, Reg) and op.name.startswith("xmm") for op in operands):
        return None
    roles = form.roles if len(operands) == len(form.roles) else form.addressed
    if len(operands) != len(roles):
        raise SourceError(f"{name} takes {len(form.roles)} operands", operands[0].column)
    widths = {width} - {0}
    prefixes: dict[int, None] = {}  # ordered, each once
    for role, operand in zip(roles, operands, strict=True):
        found, needed = _checked(name, role, operand)
        widths |= {found} - {0}
        prefixes |= dict.fromkeys(needed)
    return bytes(prefixes) + _opcode(name, form, widths, operands[0].column)


def _form(name: str) -> tuple[_Form | None, int]:
    """The instruction and the width its mnemonic says, 0 if none."""
    if name in _FORMS:
        return _FORMS[name], 1 if name == "xlat" else 0
    if name == "xlatb":
        return _FORMS["xlat"], 1
    return _FORMS.get(name[:-1]) if name[-1:] in _WIDTHS else None, _WIDTHS.get(name[-1:], 0)


def _opcode(name: str, form: _Form, widths: set[int], column: int) -> bytes:
    if len(widths) != 1:
        what = "have different sizes" if widths else "have no size: say byte, word, dword or qword ptr"
        raise SourceError(f"the operands of {name} {what}", column)
    (width,) = widths
    if width not in (1, 2, 4, 8) or (width == 8 and "dx" in form.roles) or (width > 1 and form.opcode == 0xD7):
        raise SourceError(f"{name} has no form for {width} bytes", column)
    return {2: b"\x66", 8: b"\x48"}.get(width, b"") + bytes([form.opcode + (width > 1)])


def _checked(name: str, role: Role, operand: Operand) -> tuple[int, bytes]:
    """The width an operand says (0: none) and the prefixes it needs."""
    match operand:
        case Reg(register) if (role == "a" and register in _ACCUMULATORS) or (role == "dx" and register == "dx"):
            return (REGISTER_SIZE[register] if role == "a" else 0), b""
        case Mem() if role in _BASES and operand.base in _BASES[role] and operand.disp == ZERO and not operand.index:
            return operand.size, _prefixes(name, role, operand)
        case _:
            expected = {"a": "al, ax, eax or rax", "dx": "dx"}.get(role) or f"[{_BASES[role][0]}]"
            raise SourceError(f"{name} takes {expected} here and nothing else", operand.column)


def _prefixes(name: str, role: Role, mem: Mem) -> bytes:
    short = b"\x67" if REGISTER_SIZE[mem.base] == 4 else b""
    if role == "to":
        if mem.segment not in ("", "es"):
            raise SourceError(f"the destination of {name} is always in es", mem.column)
        return short
    return SEGMENT_PREFIX.get(mem.segment, b"") + short
