"""What the assembler knows about mnemonics beyond what Keystone does.

Sources: Intel SDM vol. 2, GNU as manual 9.16 (80386 dependent features: mnemonics, sizes, string instructions).
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Condition codes of Jcc, SETcc and CMOVcc by name (SDM vol. 2 appendix B.1.4.7).
CONDITIONS: Final = {
    "o": 0, "no": 1, "b": 2, "c": 2, "nae": 2, "ae": 3, "nb": 3, "nc": 3, "e": 4, "z": 4, "ne": 5, "nz": 5,
    "be": 6, "na": 6, "a": 7, "nbe": 7, "s": 8, "ns": 9, "p": 10, "pe": 10, "np": 11, "po": 11,
    "l": 12, "nge": 12, "ge": 13, "nl": 13, "le": 14, "ng": 14, "g": 15, "nle": 15,
}  # fmt: skip
_PREFERRED: Final = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")

#: Relative branches: mnemonic -> (opcode with an 8-bit displacement, opcode with a 32-bit one); empty: no such form.
BRANCHES: Final[dict[str, tuple[bytes, bytes]]] = {
    "jmp": (b"\xeb", b"\xe9"),
    "call": (b"", b"\xe8"),
    "loop": (b"\xe2", b""),
    "loope": (b"\xe1", b""),
    "loopz": (b"\xe1", b""),
    "loopne": (b"\xe0", b""),
    "loopnz": (b"\xe0", b""),
    "jrcxz": (b"\xe3", b""),
    "jecxz": (b"\x67\xe3", b""),
    "xbegin": (b"", b"\xc7\xf8"),
    **{f"j{name}": (bytes([0x70 + code]), bytes([0x0F, 0x80 + code])) for name, code in CONDITIONS.items()},
}

#: Without operands, and unknown to Keystone or read differently by it than by GNU as.
FIXED: Final = {
    "movsd": b"\xa5", "cmpsd": b"\xa7", "endbr64": b"\xf3\x0f\x1e\xfa", "endbr32": b"\xf3\x0f\x1e\xfb",
    "sysretq": b"\x48\x0f\x07", "pushf": b"\x9c", "popf": b"\x9d", "iret": b"\xcf", "xlat": b"\xd7",
    "sysret": b"\x0f\x07", "retn": b"\xc3", "int1": b"\xf1", "fwait": b"\x9b", "wait": b"\x9b",
}  # fmt: skip

#: Spellings Keystone does not know or reads differently.
MNEMONIC_SPELLING: Final = {"sal": "shl", "xlat": "xlatb", "retn": "ret"}

PREFIXES: Final = {
    "lock": b"\xf0", "rep": b"\xf3", "repe": b"\xf3", "repz": b"\xf3", "repne": b"\xf2", "repnz": b"\xf2",
    "notrack": b"\x3e", "bnd": b"\xf2", "data16": b"\x66",
}  # fmt: skip

_ALIASES: Final = {
    "sal": "shl", "movabs": "mov", "retq": "ret", "retn": "ret", "loopz": "loope", "loopnz": "loopne", "xlatb": "xlat",
    "wait": "fwait", "icebp": "int1",
    "sysretq": "sysret",
}  # fmt: skip

#: Mnemonic -> one name for all its synonyms; a name that is missing stands for itself.
CANON: Final[dict[str, str]] = {
    **{
        f"{kind}{name}": f"{kind}{_PREFERRED[code]}"
        for kind in ("j", "set", "cmov")
        for name, code in CONDITIONS.items()
    },
    **_ALIASES,
}

_COMPARISONS: Final = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
#: cmpeqps and its like -> (cmpps, predicate).
PSEUDO_COMPARES: Final = {
    f"{v}cmp{name}{kind}": (f"{v}cmp{kind}", number)
    for v in ("", "v")
    for number, name in enumerate(_COMPARISONS)
    for kind in ("ps", "pd", "ss", "sd")
}

#: Memory operands of these have no size worth comparing.
SIZELESS: Final = _words(
    "lea nop clflush clflushopt clwb fxsave fxsave64 fxrstor fxrstor64 xsave xsave64 xrstor xrstor64 xsavec xsavec64 "
    "xsaveopt xsaveopt64 fldenv fnstenv fstenv fsave fnsave frstor invlpg lgdt lidt sgdt sidt prefetcht0 prefetcht1 "
    "prefetcht2 prefetchnta prefetchw prefetch"
)

#: With memory and no register of the same width these have no size of their own: the source must name one.
NEEDS_SIZE: Final = _words(
    "mov add sub adc sbb and or xor cmp test inc dec neg not mul imul div idiv bt bts btr btc shl sal shr sar rol ror "
    "rcl rcr movzx movsx cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss fld fst fstp fild fist fistp fadd fsub fmul "
    "fdiv crc32"
)
#: Of these, the second operand (a count, a source of another width) says nothing about the first, or the other way.
SIZE_APART: Final = _words("shl sal shr sar rol ror rcl rcr movzx movsx cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss crc32")
#: Memory without a size means 8 bytes.
QWORD_DEFAULT: Final = frozenset(("push", "pop", "call", "jmp"))

#: Both orders of the operands are the same instruction.
COMMUTES: Final = frozenset(("test", "xchg"))

#: AT&T: mnemonics that take a size suffix.
_SUFFIXED: Final = _words(
    "mov add sub adc sbb and or xor cmp test inc dec neg not mul imul div idiv push pop lea shl sal shr sar rol ror "
    "rcl rcr xchg xadd cmpxchg bt bts btr btc bsf bsr call jmp ret leave popcnt lzcnt tzcnt movnti bswap shld shrd nop "
    "movbe in out int enter pushf popf cvtsi2sd cvtsi2ss cvttsd2si cvttss2si cvtsd2si cvtss2si ptwrite"
) | {f"cmov{name}" for name in CONDITIONS}
_STRINGS: Final = ("movs", "cmps", "stos", "lods", "scas", "ins", "outs")
_SUFFIX: Final = {"b": 1, "w": 2, "l": 4, "q": 8}
_ATT_WHOLE: Final = {
    "cltq": "cdqe", "cqto": "cqo", "cltd": "cdq", "cwtl": "cwde", "cbtw": "cbw", "cwtd": "cwd", "retq": "ret",
    "leaveq": "leave", "movslq": "movsxd", "movabsq": "movabs", "iretl": "iretd", "pushfq": "pushfq",
    "sysretq": "sysretq", "sysretl": "sysret",
}  # fmt: skip
_ATT_FLOAT: Final = {
    **{f"{op}{s}": (op, n) for op in ("fld", "fst", "fstp", "fadd", "fsub", "fmul", "fdiv")
       for s, n in (("s", 4), ("l", 8))},
    "fldt": ("fld", 10), "fstpt": ("fstp", 10),
    **{f"{op}{s}": (op, n) for op in ("fild", "fistp") for s, n in (("s", 2), ("l", 4), ("ll", 8), ("q", 8))},
}  # fmt: skip

#: What `lock` may stand before (SDM vol. 2 LOCK), and what a repeat prefix may.
LOCKABLE: Final = _words(
    "add adc and btc btr bts cmpxchg cmpxchg8b cmpxchg16b dec inc neg not or sbb sub xadd xor xchg"
)
REPEATABLE: Final = frozenset(f"{op}{width}" for op in _STRINGS for width in ("", "b", "w", "d", "q")) | {"ret", "nop"}

#: Words of NASM that GNU as spells with a dot or not at all.
NASM_WORDS: Final = _words(
    "db dw dd dq resb resw resd resq equ times section segment global extern bits default org align struc"
)


def from_att(name: str, vector: bool) -> tuple[str, int, int]:
    """(Intel mnemonic, destination size, source size) of an AT&T one; 0 is unsaid.

    `vector`: an operand is an xmm, ymm or mm register, so that movq is the vector instruction and no suffix.
    """
    if name in _ATT_WHOLE:
        return _ATT_WHOLE[name], 0, 0
    if name in _ATT_FLOAT:
        op, size = _ATT_FLOAT[name]
        return op, size, size
    base, size = name[:-1], _SUFFIX.get(name[-1:], 0)
    if not size or name in BRANCHES or (vector and name in ("movq", "movd")):
        return name, 0, 0
    if base in _STRINGS:
        return base + {1: "b", 2: "w", 4: "d", 8: "q"}[size], 0, 0
    if base[:4] in ("movz", "movs") and base[4:] in ("b", "w"):
        return base[:4] + "x", size, _SUFFIX[base[4:]]
    if base in _SUFFIXED:
        return base, size, size
    return name, 0, 0
