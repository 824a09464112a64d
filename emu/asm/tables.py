"""What the assembler knows about mnemonics beyond what Keystone does.

Sources: Intel SDM vol. 2, GNU as manual 9.16 (80386 dependent features: mnemonics, sizes, string instructions).
"""

from typing import Final


def words(text: str) -> frozenset[str]:
    """The words of a text, for tables of mnemonics."""
    return frozenset(text.split())


#: Condition codes of Jcc, SETcc and CMOVcc by name (SDM vol. 2 appendix B.1.4.7).
CONDITIONS: Final = {
    "o": 0, "no": 1, "b": 2, "c": 2, "nae": 2, "ae": 3, "nb": 3, "nc": 3, "e": 4, "z": 4, "ne": 5, "nz": 5,
    "be": 6, "na": 6, "a": 7, "nbe": 7, "s": 8, "ns": 9, "p": 10, "pe": 10, "np": 11, "po": 11,
    "l": 12, "nge": 12, "ge": 13, "nl": 13, "le": 14, "ng": 14, "g": 15, "nle": 15,
}  # fmt: skip
_PREFERRED: Final = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")


def opposite(condition: str) -> str:
    """The condition that holds when this one does not."""
    return _PREFERRED[CONDITIONS[condition] ^ 1]


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
    "sysret": b"\x0f\x07", "retn": b"\xc3", "int1": b"\xf1", "fwait": b"\x9b", "wait": b"\x9b", "icebp": b"\xf1",
    "xlatb": b"\xd7",
    "pushfq": b"\x9c", "popfq": b"\x9d", "pushfw": b"\x66\x9c", "popfw": b"\x66\x9d", "iretd": b"\xcf",
    "iretq": b"\x48\xcf", "iretw": b"\x66\xcf", "ud2": b"\x0f\x0b", "ud2a": b"\x0f\x0b", "retf": b"\xcb",
    "lret": b"\xcb", "retfq": b"\x48\xcb", "retfw": b"\x66\xcb", "leave": b"\xc9", "leavew": b"\x66\xc9",
    "sysexit": b"\x0f\x35", "sysexitq": b"\x48\x0f\x35", "fsetpm": b"\x9b\xdb\xe4",
}  # fmt: skip

#: Spellings Keystone does not know or reads differently.
MNEMONIC_SPELLING: Final = {
    "sal": "shl", "retn": "ret", "ud2a": "ud2", "loopz": "loope", "loopnz": "loopne",
    # Of AT&T, which GNU as reads in both syntaxes.
    "cltq": "cdqe", "cqto": "cqo", "cltd": "cdq", "cwtl": "cwde", "cbtw": "cbw", "cwtd": "cwd", "retq": "ret",
    "leaveq": "leave", "pushq": "push", "popq": "pop",
}  # fmt: skip

PREFIXES: Final = {
    "lock": b"\xf0", "rep": b"\xf3", "repe": b"\xf3", "repz": b"\xf3", "repne": b"\xf2", "repnz": b"\xf2",
    "notrack": b"\x3e", "bnd": b"\xf2", "data16": b"\x66",
}  # fmt: skip

_ALIASES: Final = {
    "sal": "shl", "movabs": "mov", "retq": "ret", "retn": "ret", "loopz": "loope", "loopnz": "loopne", "xlatb": "xlat",
    "wait": "fwait", "icebp": "int1",
    "sysretq": "sysret", "fucomip": "fucompi", "fcomip": "fcompi",
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
SIZELESS: Final = words(
    "lea nop clflush clflushopt clwb fxsave fxsave64 fxrstor fxrstor64 xsave xsave64 xrstor xrstor64 xsavec xsavec64 "
    "xsaveopt xsaveopt64 fldenv fnstenv fstenv fsave fnsave frstor invlpg lgdt lidt sgdt sidt prefetcht0 prefetcht1 "
    "prefetcht2 prefetchnta prefetchw prefetch"
)

#: Keystone refuses those of these that name another size than the one it would leave out.
UNSIZED: Final = SIZELESS - {"nop"}
#: Of these, structures of the CPU that no operand size describes (a far pointer's does, of descriptor tables).
STRUCTURES: Final = words("fxsave fxsave64 fxrstor fxrstor64 fldenv fnstenv fnsave frstor lgdt lidt sgdt sidt")
#: x87 instructions that pop: st(0) is never their destination.
POPPING: Final = words("faddp fmulp fsubp fsubrp fdivp fdivrp")
#: Memory operands whose width Capstone 5.0.9 gets wrong, and the right one (SDM vol. 2).
TRUE_SIZE: Final = {"comisd": 8}
#: The last operand is a count or a bit number in a byte without sign.
BYTE_COUNTS: Final = words("bt bts btr btc shl shr sar rol ror rcl rcr shld shrd")

#: With memory and no register of the same width these have no size of their own: the source must name one.
NEEDS_SIZE: Final = words(
    "mov add sub adc sbb and or xor cmp test inc dec neg not mul imul div idiv bt bts btr btc shl sal shr sar rol ror "
    "rcl rcr movzx movsx cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss fld fst fstp fild fist fistp fadd fsub fmul "
    "fdiv crc32"
)
#: Of these, the second operand (a count, a source of another width) says nothing about the first, or the other way.
SIZE_APART: Final = words("shl sal shr sar rol ror rcl rcr movzx movsx cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss crc32")
#: Arithmetic that has a form with a sign-extended byte (SDM vol. 2: opcode 83, and 6B of imul).
SHORT_IMMEDIATE: Final = words("add or adc sbb and sub xor cmp imul")
#: Memory without a size means 8 bytes.
QWORD_DEFAULT: Final = frozenset(("push", "pop", "call", "jmp"))

#: Both orders of the operands are the same instruction.
COMMUTES: Final = frozenset(("test", "xchg"))

_STRINGS: Final = ("movs", "cmps", "stos", "lods", "scas", "ins", "outs")

#: What `lock` may stand before (SDM vol. 2 LOCK), and what a repeat prefix may.
LOCKABLE: Final = words("add adc and btc btr bts cmpxchg cmpxchg8b cmpxchg16b dec inc neg not or sbb sub xadd xor xchg")
REPEATABLE: Final = frozenset(f"{op}{width}" for op in _STRINGS for width in ("", "b", "w", "d", "q")) | {"ret", "nop"}

#: Words of NASM that GNU as spells with a dot or not at all.
NASM_WORDS: Final = words(
    "db dw dd dq resb resw resd resq equ times section segment global extern bits default org align struc"
)
