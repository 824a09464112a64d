"""AT&T mnemonics to Intel ones: size suffixes, other names, and the places where the order of operands differs.

Operands are in Intel order already (emu.asm.operands). A suffix gives memory its size; a register of another size is a
mistake. Source: GNU as manual 9.16, AT&T Syntax versus Intel Syntax and AT&T Mnemonic versus Intel Mnemonic.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.operands import REGISTER_SIZE, SEGMENTS, Bare, Mem, Operand, Reg
from emu.asm.tables import BRANCHES, CONDITIONS, words

#: Mnemonics that take a size suffix.
_SUFFIXED: Final = words(
    "mov add sub adc sbb and or xor cmp test inc dec neg not mul imul div idiv lea shl sal shr sar rol ror rcl rcr "
    "xchg xadd cmpxchg bt bts btr btc bsf bsr popcnt movnti bswap shld shrd nop in out"
) | {f"cmov{name}" for name in CONDITIONS}
_SETTERS: Final = frozenset(f"set{name}" for name in CONDITIONS)
#: In 64-bit mode these have a form of 8 bytes (no suffix or q) and perhaps one of 2, which keeps its w as a name.
_QUADWORD: Final = frozenset(("push", "pop", "call", "jmp", "ret", "leave", "enter", "pushf", "popf"))
_FROM_INTEGER: Final = frozenset(("cvtsi2sd", "cvtsi2ss"))
_TO_INTEGER: Final = frozenset(("cvttsd2si", "cvttss2si", "cvtsd2si", "cvtss2si"))
_SHIFTS: Final = words("shl sal shr sar rol ror rcl rcr shld shrd")
_STRINGS: Final = ("movs", "cmps", "stos", "lods", "scas", "ins", "outs")
_SUFFIX: Final = {"b": 1, "w": 2, "l": 4, "q": 8}
_WHOLE: Final = {
    "cltq": "cdqe", "cqto": "cqo", "cltd": "cdq", "cwtl": "cwde", "cbtw": "cbw", "cwtd": "cwd", "movabsq": "movabs",
    "iretl": "iretd", "sysretl": "sysret", "sysexitl": "sysexit", "lretl": "lret", "lretq": "retfq",
    "pushfq": "pushfq", "popfq": "popfq", "sysretq": "sysretq", "iretq": "iretq",
}  # fmt: skip


class _Sizes(NamedTuple):
    """A mnemonic and the widths that its suffix gives the destination and the sources; 0 is unsaid."""

    name: str
    destination: int = 0
    source: int = 0


def _floats() -> dict[str, _Sizes]:
    """x87 instructions with memory: s is a single or a word, l a double or a doubleword."""
    basic = ("add", "sub", "subr", "mul", "div", "divr", "com", "comp")
    real = {f"f{op}{s}": _Sizes(f"f{op}", n, n) for op in ("ld", "st", "stp", *basic) for s, n in (("s", 4), ("l", 8))}
    short = {f"fi{op}{s}": _Sizes(f"fi{op}", n, n) for op in ("st", *basic) for s, n in (("s", 2), ("l", 4))}
    long = {
        f"{op}{s}": _Sizes(op, n, n)
        for op in ("fild", "fistp", "fisttp")
        for s, n in (("s", 2), ("l", 4), ("ll", 8), ("q", 8))
    }
    return {**real, **short, **long, "fldt": _Sizes("fld", 10, 10), "fstpt": _Sizes("fstp", 10, 10)}


_FLOATS: Final = _floats()


def translated(name: str, operands: Sequence[Operand], column: int) -> tuple[str, list[Operand]]:
    """The Intel mnemonic and its operands. Raises SourceError where suffix and registers disagree."""
    sizes = _sizes(name, operands)
    branch = sizes.name in BRANCHES
    found = [Mem(op.expr, op.column) if isinstance(op, Bare) and not branch else op for op in operands]
    if sizes.name.startswith("enter"):
        found.reverse()  # written in the order of the fields, in both syntaxes
    sized: list[Operand] = []
    for position, op in enumerate(found):
        size = sizes.destination if position == 0 and len(found) > 1 else sizes.source
        if isinstance(op, Reg) and size:
            _check(name, sizes.name, op, position, size, column)
        sized.append(replace(op, size=size) if isinstance(op, Mem) and not op.size else op)
    return _exchanged(sizes.name, sized), sized


def _sizes(name: str, operands: Sequence[Operand]) -> _Sizes:
    """What a mnemonic means; one whose suffix does not fit these operands stays as it is, and nothing knows it."""
    if name in _WHOLE:
        return _Sizes(_WHOLE[name])
    if name in _FLOATS:
        return _Sizes(name) if all(isinstance(op, Reg) for op in operands) else _FLOATS[name]
    vector = any(isinstance(op, Reg) and op.name[:2] in ("xm", "ym", "mm") for op in operands)
    if name == "movslq":
        return _Sizes("movsxd", 8, 4)
    base, size = name[:-1], _SUFFIX.get(name[-1:], 0)
    if not size or name in BRANCHES or (vector and name in ("movq", "movd", "movsl", "cmpsl")):
        return _Sizes(name)
    if base in _STRINGS:
        return _Sizes(base + {1: "b", 2: "w", 4: "d", 8: "q"}[size])
    if name in ("movzb", "movzw"):
        return _Sizes("movzx", 0, _SUFFIX[name[-1]])
    if base[:4] in ("movz", "movs") and base[4:] in ("b", "w"):
        return _Sizes(base[:4] + "x", size, _SUFFIX[base[4:]])
    if base in _QUADWORD:
        return _Sizes(base, 8, 8) if size == 8 else _Sizes(name)
    if base in _TO_INTEGER:
        return _Sizes(base, size, 0)
    if base in _FROM_INTEGER or base == "crc32":
        return _Sizes(base, 0, size)
    if base in _SETTERS and name not in _SETTERS:
        return _Sizes(base, 1, 1) if size == 1 else _Sizes(name)
    return _Sizes(base, size, size) if base in _SUFFIXED and operands else _Sizes(name)


def _check(written: str, name: str, register: Reg, position: int, size: int, column: int) -> None:
    special = register.name in SEGMENTS or register.name[:2] in ("xm", "ym", "mm", "cr", "dr", "st")
    count = register.name == "cl" and position > 0 and name in _SHIFTS
    port = register.name == "dx" and name in ("in", "out")
    if special or count or port or REGISTER_SIZE[register.name] == size:
        return
    raise SourceError(f"%{register.name} does not fit the suffix of {written}", register.column or column)


def _exchanged(name: str, operands: Sequence[Operand]) -> str:
    """fsub and fsubr, fdiv and fdivr change places where the destination is not st(0): a mistake that GNU as keeps."""
    kind = name.removesuffix("p")
    if kind not in ("fsub", "fsubr", "fdiv", "fdivr"):
        return name
    first = operands[0] if operands else None
    to_stack = len(operands) == 2 and isinstance(first, Reg) and first.name != "st(0)"
    if kind == name and operands and not to_stack:
        return name
    return (kind.removesuffix("r") if kind.endswith("r") else kind + "r") + name[len(kind) :]
