"""What to do about a mistake: nearest names, and lines that are good in another syntax than the one in force."""

import re
from collections.abc import Iterable
from typing import Final, Literal

from emu.asm.operands import REGISTERS

Dialect = Literal["intel", "att", "nasm"]

_NASM_WORDS: Final = {
    **dict.fromkeys(("section", "segment"), ".section or .text, .data, .bss, .rodata"),
    "db": ".byte, or .ascii for text", "dw": ".short", "dd": ".long", "dq": ".quad", "dt": ".octa",
    "resb": ".skip N", "resw": ".skip 2*N", "resd": ".skip 4*N", "resq": ".skip 8*N", "rest": ".skip 10*N",
    "equ": "NAME = VALUE", "times": ".rept or .fill", "global": ".global", "extern": ".extern", "align": ".balign",
    "struc": "NAME = OFFSET for each field",
}  # fmt: skip
_C_LIBRARY: Final = frozenset(("printf", "puts", "putchar", "exit", "malloc", "free", "strlen", "memcpy", "scanf"))
_ATT_OPERAND: Final = re.compile(r"%(?=[a-z])|\$[\w(]")
_ATT_ADDRESS: Final = re.compile(r"\(\s*%")
_NASM_LINE: Final = re.compile(
    r"^\s*(?:\[?(?:section|segment|global|extern|bits|default)\b|%(?:define|macro|if|rep|assign|include))"
)
_GNU_LINE: Final = re.compile(r"^\s*\.[a-z_]+\s|\bptr\b|\boffset\b", re.I)


def near(name: str, candidates: Iterable[str], *, ending: str = "") -> str:
    """`did you mean X?` with the candidate that looks most like `name`, "" when none does."""
    found = nearest(name, candidates)
    return f"did you mean {found}?{ending}" if found else ""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate with the fewest letters changed, left out, added or swapped; at most one in three; or "".

    Of equals the one with the same first letter, then the shortest.
    """
    limit = max(1, len(name) // 3)
    lower = name.lower()
    if len(lower) < 2:
        return ""
    best = (limit + 1, False, 0, "")
    for candidate in candidates:
        if candidate != name and abs(len(candidate) - len(name)) <= best[0] and candidate:
            other = candidate.lower()
            best = min(best, (_distance(lower, other), other[0] != lower[0], len(other), candidate))
    return best[-1] if best[0] <= limit else ""


def _distance(a: str, b: str) -> int:
    """Letters changed, left out, added, or swapped with their neighbour (restricted Damerau-Levenshtein)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nasm_hint(word: str) -> str:
    """How GNU as spells a word of NASM."""
    ours = _NASM_WORDS.get(word)
    return (f"here that is {ours}; " if ours else "") + "--syntax nasm reads NASM source"


def undefined(name: str, dialect: Dialect, names: Iterable[str]) -> str:
    """For a symbol that nothing defines. `names`: those that are defined."""
    lower = name.lower()
    if "#" in name:
        digits = name.partition("#")[0]
        return f"{digits}f means the next {digits}: further down, and there is none"
    if re.fullmatch(r"zmm\d+|k[0-7]|[xy]mm(1[6-9]|2\d|3[01])", lower):
        return "this is a register of AVX-512, which this machine does not have"
    if dialect == "att" and lower in REGISTERS:
        return f"AT&T syntax writes %{lower}; .intel_syntax noprefix switches"
    register = nearest(lower, REGISTERS) if len(lower) <= 5 and dialect != "att" else ""
    symbol = nearest(name, names)
    if register and (not symbol or _distance(lower, register) < _distance(lower, symbol.lower())):
        return f"did you mean the register {register}?"
    if symbol:
        return f"did you mean {symbol}?"
    if name in _C_LIBRARY:
        file = "lab_nasm.inc" if dialect == "nasm" else "lab.inc"
        return f"there is no C library here; {file} has print, print_number, strlen, itoa and exit"
    from emu.asm.mnemonics import COMMON  # most programs have no mistakes

    return "one instruction to a line" if lower in COMMON else ""


def of_line(line: str, dialect: Dialect) -> str:
    """For a line that is good in another syntax, as far as its looks go."""
    code = re.sub(r"\"[^\"]*\"|'[^']*'", "", line)
    if dialect != "att" and (_ATT_ADDRESS.search(code) or re.search(r"[\s,]" + _ATT_OPERAND.pattern, code)):
        if dialect == "nasm":
            return "this looks like AT&T syntax: leave out --syntax nasm and write .att_syntax"
        return "this looks like AT&T syntax: write .att_syntax before it, or use --syntax att"
    if dialect == "intel" and _NASM_LINE.match(code):
        return "this looks like NASM: use --syntax nasm"
    if dialect == "nasm" and _GNU_LINE.search(code):
        return "this looks like GNU as: leave out --syntax nasm"
    if dialect == "att" and re.search(r"\[|\bptr\b", code):
        return "this looks like Intel syntax: write .intel_syntax noprefix before it"
    return ""
