"""What gdb is told about the target: its registers (target.xml) and their bytes, its memory, its signal numbers.

Register numbers are positions in REGISTERS. x87 and SSE registers come out of the FXSAVE image (SDM vol. 1 10.5.1).
"""

from typing import Final, NamedTuple

from emu.debug.state import Registers
from mini_kernel.x86 import REGISTER_NAMES, TASK_SIZE, USER_CS, USER_DS

_GENERAL: Final = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_SELECTORS: Final = {"cs": USER_CS, "ss": USER_DS, "ds": 0, "es": 0, "fs": 0, "gs": 0}
_FLAG_BITS: Final = {
    "CF": 0, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11, "NT": 14, "RF": 16, "VM": 17,
    "AC": 18, "VIF": 19, "VIP": 20, "ID": 21,
}  # fmt: skip
_MXCSR_BITS: Final = ("IE", "DE", "ZE", "OE", "UE", "PE", "DAZ", "IM", "DM", "ZM", "OM", "UM", "PM")
_ST, _XMM, _MXCSR = 32, 160, 24  # offsets in the FXSAVE image
_EMPTY, _ZERO, _SPECIAL, _VALID = 3, 1, 2, 0  # x87 tags


class Register(NamedTuple):
    """One of gdb's registers: its name, size in bytes, type in target.xml."""

    name: str
    size: int
    kind: str
    group: str = ""


_CORE: Final = (
    *(Register(n, 8, "data_ptr" if n in ("rbp", "rsp") else "int64") for n in _GENERAL),
    Register("rip", 8, "code_ptr"),
    Register("eflags", 4, "i386_eflags"),
    *(Register(n, 4, "int32") for n in _SELECTORS),
    *(Register(f"st{i}", 10, "i387_ext") for i in range(8)),
    *(Register(n, 4, "int", "float") for n in ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop")),
)
_SSE: Final = (*(Register(f"xmm{i}", 16, "vec128") for i in range(16)), Register("mxcsr", 4, "i386_mxcsr", "vector"))
_LINUX: Final = (Register("orig_rax", 8, "int", "system"),)
_SEGMENTS: Final = (Register("fs_base", 8, "int"), Register("gs_base", 8, "int"))
_FEATURES: Final = {
    "org.gnu.gdb.i386.core": _CORE,
    "org.gnu.gdb.i386.sse": _SSE,
    "org.gnu.gdb.i386.linux": _LINUX,
    "org.gnu.gdb.i386.segments": _SEGMENTS,
}
REGISTERS: Final = (*_CORE, *_SSE, *_LINUX, *_SEGMENTS)
NUMBERS: Final = {register.name: number for number, register in enumerate(REGISTERS)}
EXPEDITED: Final = (NUMBERS["rbp"], NUMBERS["rsp"], NUMBERS["rip"])  # sent with every stop: gdb asks for them first

_VECTOR_TYPES: Final = """\
<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>
<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>
<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>
<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>
"""


def _flags(name: str, bits: dict[str, int]) -> str:
    fields = "".join(f'<field name="{field}" start="{bit}" end="{bit}"/>' for field, bit in bits.items())
    return f'<flags id="{name}" size="4">{fields}</flags>\n'


def target_xml() -> str:
    """The target description (GDB manual, appendix G)."""
    types = {
        "org.gnu.gdb.i386.core": _flags("i386_eflags", _FLAG_BITS),
        "org.gnu.gdb.i386.sse": _VECTOR_TYPES + _flags("i386_mxcsr", {n: i for i, n in enumerate(_MXCSR_BITS)}),
    }
    parts = [
        '<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target>\n',
        "<architecture>i386:x86-64</architecture>\n<osabi>GNU/Linux</osabi>\n",
    ]
    for feature, registers in _FEATURES.items():
        parts.append(f'<feature name="{feature}">\n{types.get(feature, "")}')
        for r in registers:
            group = f' group="{r.group}"' if r.group else ""
            parts.append(f'<reg name="{r.name}" bitsize="{r.size * 8}" type="{r.kind}"{group}/>\n')
        parts.append("</feature>\n")
    return "".join(parts) + "</target>\n"


def memory_map_xml() -> str:
    """All of user space is RAM to gdb; what is mapped there differs by process and moment."""
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
        '"http://sourceware.org/gdb/gdb-memory-map.dtd">\n'
        f'<memory-map><memory type="ram" start="0x0" length="{TASK_SIZE:#x}"/></memory-map>\n'
    )


# -- values ------------------------------------------------------------------------------------------


def values(registers: Registers, image: bytes, orig_rax: int) -> list[bytes]:
    """The bytes of every register, by number."""
    named = registers.named()
    control = _x87_control(image)
    out: list[bytes] = []
    for register in REGISTERS:
        name, size = register.name, register.size
        if name in named:
            value = named[name]
        elif name.startswith("xmm"):
            at = _XMM + 16 * int(name[3:])
            out.append(image[at : at + 16])
            continue
        elif name.startswith("st"):
            at = _ST + 16 * int(name[2:])
            out.append(image[at : at + 10])
            continue
        elif name in control:
            value = control[name]
        else:
            value = {**_SELECTORS, "eflags": named["rflags"], "orig_rax": orig_rax}[name]
        out.append((value & (1 << 8 * size) - 1).to_bytes(size, "little"))
    return out


def _x87_control(image: bytes) -> dict[str, int]:
    def word(at: int, n: int = 2) -> int:
        return int.from_bytes(image[at : at + n], "little")

    return {
        "fctrl": word(0), "fstat": word(2), "ftag": _tags(image), "fop": word(6), "fioff": word(8, 4),
        "fiseg": word(12), "fooff": word(16, 4), "foseg": word(20), "mxcsr": word(_MXCSR, 4),
    }  # fmt: skip


def _tags(image: bytes) -> int:
    """The full x87 tag word: FXSAVE keeps one bit a register (SDM vol. 1 10.5.1.1)."""
    top = int.from_bytes(image[2:4], "little") >> 11 & 7
    tags = 0
    for physical in range(8):
        tag = _EMPTY
        if image[4] >> physical & 1:
            at = _ST + 16 * (physical - top & 7)
            tag = _tag(int.from_bytes(image[at : at + 8], "little"), int.from_bytes(image[at + 8 : at + 10], "little"))
        tags |= tag << 2 * physical
    return tags


def _tag(significand: int, exponent: int) -> int:
    exponent &= 0x7FFF
    if not exponent and not significand:
        return _ZERO
    return _VALID if 0 < exponent < 0x7FFF and significand >> 63 else _SPECIAL


def general_name(number: int) -> str | None:
    """The name by which the debugger sets this register; None for one that is in the FXSAVE image, or constant."""
    name = REGISTERS[number].name
    if name == "eflags":
        return "rflags"
    return name if name in REGISTER_NAMES or name in ("fs_base", "gs_base") else None


def patched_image(image: bytes, number: int, data: bytes) -> bytes | None:
    """The FXSAVE image with one register of it changed; None if it is not there."""
    name = REGISTERS[number].name
    if name.startswith("xmm"):
        at = _XMM + 16 * int(name[3:])
    elif name.startswith("st"):
        at = _ST + 16 * int(name[2:])
    elif name in ("fctrl", "fstat", "fop", "mxcsr"):
        at = {"fctrl": 0, "fstat": 2, "fop": 6, "mxcsr": _MXCSR}[name]
        data = data[: 4 if name == "mxcsr" else 2]
    else:
        return None
    return image[:at] + data + image[at + len(data) :]


# -- signals -----------------------------------------------------------------------------------------

#: gdb's own signal numbers (include/gdb/signals.def) -> Linux's. The first fifteen are the same but for 7, 10 and 12.
_TO_LINUX: Final = {
    **{n: n for n in (1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 14, 15)},
    10: 7, 12: 31, 16: 23, 17: 19, 18: 20, 19: 18, 20: 17, 21: 21, 22: 22, 23: 29, 24: 24, 25: 25, 26: 26, 27: 27,
    28: 28, 30: 10, 31: 12, 32: 30, 77: 32, **{n: n - 12 for n in range(45, 76)}, 78: 64,
}  # fmt: skip
_FROM_LINUX: Final = {linux: gdb for gdb, linux in _TO_LINUX.items()}
_UNKNOWN_SIGNAL: Final = 143


def signal_to_gdb(signo: int) -> int:
    """gdb's number of a Linux signal."""
    return _FROM_LINUX.get(signo, _UNKNOWN_SIGNAL)


def signal_to_linux(number: int) -> int:
    """Linux's number of a gdb signal; 0 for what Linux does not have."""
    return _TO_LINUX.get(number, 0)
