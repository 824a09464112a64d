"""Bytes to instructions: the only code that imports Capstone, and only when the first instruction is decoded.

Capstone stops silently at the first byte it does not know; here that is a None, or a count of consumed bytes that
the caller can compare. It decodes AVX-512, which the emulated CPU rejects.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INSTRUCTION: Final = 15  # SDM vol. 2, 2.3.11


@dataclass(frozen=True, slots=True)
class Operand:
    """One explicit operand. Only the fields of its kind mean something; an absent register is "".

    mem: the effective address is segment base + base + index * scale + disp; rip as base is the address of the *next*
    instruction. `size` is the operand's width in bytes; `access` has "r" and "w" for what happens to it.
    """

    kind: Literal["reg", "imm", "mem"]
    size: int
    access: str = ""
    reg: str = ""
    imm: int = 0
    segment: str = ""
    base: str = ""
    index: str = ""
    scale: int = 1
    disp: int = 0


class Instruction(NamedTuple):
    """A decoded instruction. `mnemonic` includes prefixes such as `lock` and `rep`; `text` is Intel syntax."""

    address: int
    size: int
    mnemonic: str
    text: str
    operands: tuple[Operand, ...]
    data: bytes

    @property
    def end(self) -> int:
        """Address of the next instruction: what rip means in an operand."""
        return self.address + self.size


class Run(NamedTuple):
    """Consecutive instructions; `consumed` bytes were decoded, less than asked for when bytes make no instruction."""

    instructions: tuple[Instruction, ...]
    consumed: int


def one(code: bytes, address: int) -> Instruction | None:
    """The instruction at the start of `code`, or None when these bytes are none (or are cut off)."""
    found = _decode(bytes(code[:MAX_INSTRUCTION]), address, 1)
    return found[0] if found else None


def many(code: bytes, address: int, count: int = 0) -> Run:
    """Instructions from the start of `code`, at most `count` (0: all), up to the first that does not decode."""
    found = _decode(bytes(code), address, count)
    return Run(tuple(found), sum(i.size for i in found))


class Brief(NamedTuple):
    """An instruction without what takes time to find out: `operands` as Intel syntax has them."""

    address: int
    size: int
    mnemonic: str
    operands: str


def brief(code: bytes, address: int) -> list[Brief]:
    """Instructions from the start of `code` up to the first that does not decode: 20 times as fast as `many`."""
    return [Brief(*found) for found in _brief_engine()(bytes(code), address)]


@cache
def _brief_engine() -> "Callable[[bytes, int], Iterable[tuple[int, int, str, str]]]":
    import capstone  # pyright: ignore[reportMissingTypeStubs]

    library: Any = capstone
    return library.Cs(library.CS_ARCH_X86, library.CS_MODE_64).disasm_lite


@cache
def _engine() -> "Callable[[bytes, int, int], Iterable[Any]]":
    """Capstone's decoding function; importing it takes 20 ms, hence not before it is needed."""
    import capstone  # pyright: ignore[reportMissingTypeStubs]

    library: Any = capstone
    engine = library.Cs(library.CS_ARCH_X86, library.CS_MODE_64)
    engine.detail = True
    return engine.disasm


def _decode(code: bytes, address: int, count: int) -> list[Instruction]:
    return [_instruction(raw) for raw in _engine()(code, address, count)]


def _instruction(raw: Any) -> Instruction:
    return Instruction(
        address=raw.address,
        size=raw.size,
        mnemonic=raw.mnemonic,
        text=f"{raw.mnemonic} {raw.op_str}".rstrip(),
        operands=tuple(_operand(raw, op) for op in raw.operands),
        data=bytes(raw.bytes),
    )


_ACCESS: Final = {0: "", 1: "r", 2: "w", 3: "rw"}
_REG, _IMM = 1, 2  # X86_OP_REG, X86_OP_IMM; X86_OP_MEM is the rest


def _operand(raw: Any, op: Any) -> Operand:
    access = _ACCESS[op.access & 3]
    if op.type == _REG:
        return Operand("reg", op.size, access, reg=raw.reg_name(op.reg))
    if op.type == _IMM:
        return Operand("imm", op.size, access, imm=op.imm)
    mem = op.mem
    return Operand(
        "mem",
        op.size,
        access,
        segment=raw.reg_name(mem.segment) or "",
        base=raw.reg_name(mem.base) or "",
        index=raw.reg_name(mem.index) or "",
        scale=mem.scale,
        disp=mem.disp,
    )
