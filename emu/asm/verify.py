"""Does the encoding say what the source said?

Keystone encodes some instructions wrongly without a word (truncated immediates, lost operands, absolute addresses made
rip-relative). So everything it produces is decoded again, by other code, and compared with the operands that were
asked for. What cannot be explained is refused: a false alarm costs a message, a miss costs a day.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from emu.asm import tables


class DecodedOperand(Protocol):
    """What is needed of a decoded operand (emu.disasm.Operand)."""

    @property
    def kind(self) -> Literal["reg", "imm", "mem"]: ...
    @property
    def size(self) -> int: ...
    @property
    def reg(self) -> str: ...
    @property
    def imm(self) -> int: ...
    @property
    def segment(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def index(self) -> str: ...
    @property
    def scale(self) -> int: ...
    @property
    def disp(self) -> int: ...


class Decoded(Protocol):
    """What is needed of a decoded instruction (emu.disasm.Instruction)."""

    @property
    def size(self) -> int: ...
    @property
    def mnemonic(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def operands(self) -> Sequence[DecodedOperand]: ...


#: emu.disasm.one
Decode = Callable[[bytes, int], Decoded | None]


@dataclass(frozen=True, slots=True)
class Want:
    """An operand as the source asked for it. Size 0 leaves the width of memory open."""

    kind: Literal["reg", "imm", "mem"]
    size: int = 0
    reg: str = ""
    imm: int = 0
    segment: str = ""
    base: str = ""
    index: str = ""
    scale: int = 1
    disp: int = 0


_IMPLICIT_SEGMENTS: Final = frozenset(("", "ds", "es", "ss"))


def explain(mnemonic: str, wanted: Sequence[Want], data: bytes, decode: Decode) -> str | None:
    """None if `data` is `mnemonic` with these operands, else the reason why that cannot be shown."""
    found = decode(data, 0)
    if found is None:
        return "the bytes do not decode"
    if mnemonic == "nop" and wanted and b"\x0f\x1f" not in data:
        return "decodes as a hint that is a nop on some CPUs only"
    if found.size != len(data):
        return f"only {found.size} of {len(data)} bytes decode: {found.text}"
    name, extra = _canonical(mnemonic)
    found_name, found_extra = _canonical(found.mnemonic)
    if name != found_name and not (name in ("movsx", "movsxd") and found_name in ("movsx", "movsxd")):
        return f"decodes as {found.text}"
    if name in tables.POPPING and len(wanted) == 2 and wanted[0].reg == "st(0)":
        return f"decodes with other operands: {found.text}"
    sides = _aligned(name, [*wanted, *extra], [*found.operands, *found_extra])
    if sides is None:
        return f"decodes with other operands: {found.text}"
    if _match(name, *sides) or (name in tables.COMMUTES and _match(name, sides[0][::-1], sides[1])):
        return None
    return f"decodes as {found.text}"


def _canonical(mnemonic: str) -> tuple[str, list[Want]]:
    """One name for all synonyms; a comparison with its predicate in the name gives it back as an immediate."""
    name = tables.CANON.get(mnemonic, mnemonic)
    if name in tables.PSEUDO_COMPARES:
        name, predicate = tables.PSEUDO_COMPARES[name]
        return name, [Want("imm", 1, imm=predicate)]
    return name, []


Sides = tuple[Sequence[Want], Sequence[DecodedOperand]]


def _aligned(name: str, wanted: Sequence[Want], found: Sequence[DecodedOperand]) -> Sides | None:
    """Both lists without what only one of them spells out, if they are then equally long."""
    if not wanted and name[:4] in ("movs", "cmps", "stos", "lods", "scas", "insb", "insw", "insd", "outs", "xlat"):
        return [], []
    if name.startswith("f"):  # st(0) is named or not, by taste
        unsaid = ("st(0)",) if wanted else ("st(0)", "st(1)")
        wanted = [w for w in wanted if w.reg != "st(0)"]
        found = [f for f in found if f.reg not in unsaid]
    if name == "imul" and len(wanted) == 2 and len(found) == 3:
        wanted = [wanted[0], *wanted]
    if len(found) == len(wanted) + 1:
        found = _without_implicit(name, found)
    return (wanted, found) if len(wanted) == len(found) else None


def _without_implicit(name: str, found: Sequence[DecodedOperand]) -> Sequence[DecodedOperand]:
    last = found[-1]
    if name in ("shl", "shr", "sar", "rol", "ror", "rcl", "rcr") and last.kind == "imm" and last.imm == 1:
        return found[:-1]
    if last.reg == "cl" and name in ("shld", "shrd"):
        return found[:-1]
    if last.reg == "xmm0" and name in ("pblendvb", "blendvps", "blendvpd", "sha256rnds2"):
        return found[:-1]
    return found


def _match(name: str, wanted: Sequence[Want], found: Sequence[DecodedOperand]) -> bool:
    return all(_same(name, w, f) for w, f in zip(wanted, found, strict=True))


def _same(name: str, want: Want, found: DecodedOperand) -> bool:
    if want.kind != found.kind:
        return False
    if want.kind == "reg":
        return want.reg == found.reg
    if want.kind == "imm":
        return _same_immediate(want.imm, found.imm, found.size)
    return _same_memory(name, want, found)


def _same_immediate(want: int, found: int, size: int) -> bool:
    """Equal as `size`-byte integers, signed or unsigned, with nothing cut off."""
    bits = 8 * (size or 8)
    return -(1 << (bits - 1)) <= want < 1 << bits and (want - found) % (1 << bits) == 0


def _same_memory(name: str, want: Want, found: DecodedOperand) -> bool:
    size = tables.TRUE_SIZE.get(name, found.size)
    if want.size and want.size != size and name not in tables.SIZELESS:
        return False
    segments = {want.segment, found.segment}
    if len(segments) == 2 and not segments <= _IMPLICIT_SEGMENTS:
        return False
    if (want.disp - found.disp) % (1 << 64):
        return False
    if (want.base, want.index) == (found.base, found.index):
        return not want.index or want.scale == found.scale
    return want.scale == found.scale == 1 and (want.base, want.index) == (found.index, found.base)
