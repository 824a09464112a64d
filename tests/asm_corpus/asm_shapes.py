"""What the shape of an instruction is: its mnemonic, and of each operand what decides how it is encoded.

The input is a line of `objdump -d -M intel`, cleaned by `source_of` so that an assembler reads it. A shape names no
register and no number, only their classes: which of two instructions with one shape an assembler gets wrong would be
chance, and an instance of each shape is tried.
"""

import re
from typing import Final

_LEGACY: Final = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
_CLASS: Final[dict[str, str]] = {
    **{f"r{n}": "r64" for n in _LEGACY},
    **{f"e{n}": "r32" for n in _LEGACY},
    **dict.fromkeys(_LEGACY, "r16"),
    **dict.fromkeys(("al", "bl", "dl"), "r8"),
    **dict.fromkeys(("ah", "bh", "ch", "dh"), "high"),
    **dict.fromkeys(("sil", "dil", "spl", "bpl"), "low"),
    **{f"r{n}{s}": f"x{bits}" for n in range(8, 16) for s, bits in (("", 64), ("d", 32), ("w", 16), ("b", 8))},
    "al": "al", "ax": "ax", "eax": "eax", "rax": "rax", "cl": "cl", "st": "st",
    **{f"st({n})": "st(i)" for n in range(8)},
    **{f"{v}mm{n}": f"{v}mm{'' if n < 8 else '-x' if n < 16 else '-y'}" for v in "xyz" for n in range(32)},
    **{f"mm{n}": "mm" for n in range(8)},
    **{f"k{n}": "k" for n in range(8)},
    **dict.fromkeys(("es", "cs", "ss", "ds", "fs", "gs"), "segment"),
    **{f"{kind}{n}": kind for kind in ("cr", "dr") for n in range(16)},
    **{f"bnd{n}": "bnd" for n in range(4)},
}  # fmt: skip
_BRANCH: Final = re.compile(r"((?:\S+ )*(?:j\w+|call|loop\w*|xbegin)) +(?:0x)?([0-9a-f]+)$")
_MEMORY: Final = re.compile(r"(?:([A-Z]+) (BCST|PTR) )?(?:(\ws):)?(?:\[([^]]*)\]|(0x[0-9a-f]+))(\{.*)?$")
_TERM: Final = re.compile(r"([+-]?)([^+-]+)")


def source_of(text: str, size: int) -> str | None:
    """The instruction of a line of objdump, `size` bytes long, as source; None for what is none."""
    text = re.sub(r"\s+", " ", text.partition("#")[0].partition("<")[0]).strip()
    if not text or re.search(r"\(bad\)|\.byte|rex|[re]iz|^data16|^addr32|^[c-gs]s |,p[nt]$", text):
        return None
    branch = _BRANCH.match(text)
    if branch:
        return f"{branch[1]} .+{0x40 if size - text.startswith(('bnd', 'notrack')) <= 3 else 0x4000:#x}"
    return text


def shape_of(source: str) -> str:
    """The shape of an instruction as `source_of` gives it."""
    words = source.split(" ")
    at = next((n for n, w in enumerate(words) if w not in _PREFIXES), 0)
    mnemonic, operands = " ".join(words[: at + 1]), " ".join(words[at + 1 :])
    return f"{mnemonic} {','.join(_operand(op) for op in _split(operands))}".rstrip()


_PREFIXES: Final = frozenset(
    ("lock", "rep", "repz", "repnz", "bnd", "notrack", "xacquire", "xrelease", "{vex}", "{evex}", "{load}", "{store}")
)


def _split(operands: str) -> list[str]:
    return [op for op in operands.split(",") if op]


def _operand(text: str) -> str:
    name, brace, decoration = text.partition("{")
    if name in _CLASS:
        return _CLASS[name] + brace + re.sub(r"k\d", "k", decoration)
    if text.startswith(".+"):
        return "near" if len(text) > 6 else "short"
    if re.fullmatch(r"-?0x[0-9a-f]+|\d+", text):
        return _immediate(int(text, 0))
    memory = _MEMORY.match(text)
    return _memory(memory) if memory else text


def _immediate(value: int) -> str:
    """The narrowest field that holds it, apart for the two ways of looking at its top bit."""
    if value >= 1 << 63:
        value -= 1 << 64
    if value == 1:
        return "one"
    for bits in (8, 16, 32):
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return f"i{bits}"
        if 0 <= value < 1 << bits:
            return f"u{bits}"
    return "i64"


def _memory(found: re.Match[str]) -> str:
    size, broadcast, segment, inside, absolute, decoration = found.groups()
    base = index = ""
    disp = absolute is not None and "d32"
    for sign, term in _TERM.findall(inside or ""):
        register, _, scale = term.partition("*")
        if register not in _CLASS and register not in ("rip", "eip"):
            disp = _displacement(int(sign + term, 0), bool(base or index))
        elif scale:
            index = f"+{_address_class(register, False)}*{'1' if scale == '1' else 's'}"
        else:
            base = _address_class(register, True)
    parts = [
        (size or "").lower(),
        "bcst" if broadcast == "BCST" else "",
        f"{segment}:" if segment in ("fs", "gs") else "",
    ]
    return f"{' '.join(p for p in parts if p)}[{base}{index}{'+' + disp if disp else ''}]" + re.sub(
        r"k\d", "k", decoration or ""
    )


def _address_class(name: str, base: bool) -> str:
    """Registers apart whose addresses are encoded apart (SDM vol. 2 tables 2-2 and 2-3)."""
    wide = name[0] == "r" and name[-1] != "d"
    if name in ("rip", "eip", "rsp", "esp"):
        return name
    if base and name in ("rbp", "ebp", "r12", "r12d", "r13", "r13d"):
        return name
    kind = _CLASS[name]
    return kind if kind[:3] in ("xmm", "ymm", "zmm") else ("x" if kind[0] == "x" else "r") + ("64" if wide else "32")


def _displacement(value: int, registers: bool) -> str:
    if value >= 1 << 63:
        value -= 1 << 64
    if value == 0:
        return ""
    return "d8" if registers and -128 <= value < 128 else "d32"
