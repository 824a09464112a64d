"""Effective addresses, spelled out: `rax=0xdeacff0 + rcx=0x2*8 + 0x10 = 0xdead000` (SDM vol. 1 3.7.5)."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from emu.disasm import Instruction, Operand
from mini_kernel.x86 import REGISTER_NAMES, RIP, RSP, U64

_U32: Final = 0xFFFF_FFFF
_WIDE: Final = {name: i for i, name in enumerate(REGISTER_NAMES)}
_NARROW: Final = {"eip": RIP} | {
    (f"{name}d" if name[1].isdigit() else f"e{name[1:]}"): i for i, name in enumerate(REGISTER_NAMES[:16])
}
_PUSHES: Final = frozenset(("push", "pushfq", "call", "enter"))
_POPS: Final = frozenset(("pop", "popfq", "ret", "leave", "iretq"))
_NOT_ACCESSED: Final = frozenset(("lea", "nop", "invlpg"))


class State(NamedTuple):
    """What an address is computed from: the 17 registers in hardware order, and the two segment bases that matter."""

    regs: Sequence[int]
    fs_base: int = 0
    gs_base: int = 0


class Access(NamedTuple):
    """A memory access of an instruction: its first address, length in bytes, and how the address came about.

    The text is "" for an absolute address, which the instruction itself shows.
    """

    address: int
    size: int
    text: str


def accesses(instruction: Instruction, state: State) -> list[Access]:
    """The memory accesses of an instruction in operand order, then the implicit one to the stack."""
    mnemonic = instruction.mnemonic.split()[-1]
    found: list[Access] = []
    if mnemonic not in _NOT_ACCESSED:
        for operand in instruction.operands:
            access = _access(operand, instruction, state) if operand.kind == "mem" else None
            if access is not None:
                found.append(access)
    stack = _stack(mnemonic, state)
    return [*found, stack] if stack else found


def explain(instruction: Instruction, state: State, address: int | None) -> str:
    """The accesses in words, one a line; only the one that covers `address` if one does."""
    found = accesses(instruction, state)
    if address is not None:
        found = [a for a in found if a.address <= address < a.address + a.size] or found
    return "\n".join(filter(None, (_line(a, address) for a in found)))


def _line(access: Access, address: int | None) -> str:
    if address is None or not access.address < address < access.address + access.size:
        return access.text
    return f"{access.text or hex(access.address)}, {access.size} bytes; the part from {address:#x} on faults"


def _access(operand: Operand, instruction: Instruction, state: State) -> Access | None:
    terms: list[str] = []
    total = operand.disp
    mask = U64
    if operand.segment in ("fs", "gs"):
        base = state.fs_base if operand.segment == "fs" else state.gs_base
        terms.append(f"{operand.segment}={base:#x}")
    else:
        base = 0
    for name, scale in ((operand.base, 1), (operand.index, operand.scale)):
        if not name or name in ("riz", "eiz"):
            continue
        value = _register(name, instruction, state)
        if value is None:
            return None  # a vector index: many addresses at once
        if name in _NARROW:
            mask = _U32
        total += value * scale
        terms.append(f"{name}={value:#x}" + (f"*{scale}" if scale > 1 else ""))
    sign = "-" if operand.disp < 0 else "+"
    text = " + ".join(terms)
    if operand.disp and terms:
        text += f" {sign} {abs(operand.disp):#x}"
    address = ((total & mask) + base) & U64
    result = f"{address:#x}"
    return Access(address, operand.size or 1, f"{text} = {result}" if terms else "")


def _register(name: str, instruction: Instruction, state: State) -> int | None:
    if name == "rip":
        return instruction.end
    if name in _WIDE:
        return state.regs[_WIDE[name]]
    if name in _NARROW:
        return state.regs[_NARROW[name]] & _U32
    return None


def _stack(mnemonic: str, state: State) -> Access | None:
    rsp = state.regs[RSP]
    if mnemonic in _PUSHES:
        address = (rsp - 8) & U64
        return Access(address, 8, f"the stack: rsp={rsp:#x} - 0x8 = {address:#x}")
    if mnemonic in _POPS:
        if mnemonic == "leave":
            rsp = state.regs[_WIDE["rbp"]]
            return Access(rsp, 8, f"the stack: rbp={rsp:#x}")
        return Access(rsp, 8, f"the stack: rsp={rsp:#x}")
    return None
