"""How deep the stack is at an instruction, by reading the function's code from its start on.

For code that nobody has described: assembly, and C libraries without call frame information. Compilers keep the stack
at one depth at each instruction, whichever way led there, so one way is followed to it; what a function does with RSP
and RBP by constants is known, anything else ends what is known of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from emu import disasm
from emu.disasm import Brief, Instruction
from mini_kernel.x86 import RBP, REGISTER_NAMES, RSP

Read = Callable[[int, int], bytes]  # (address, bytes); short where nothing can be read

_WORD: Final = 8
_MAX_INSTRUCTIONS: Final = 5000
_MAX_REACH: Final = 1 << 16  # bytes from a function's start
_SAVED: Final = frozenset(("rbx", "rbp", "r12", "r13", "r14", "r15"))  # psABI 3.2.1
_CHUNK: Final = 128  # bytes that are decoded at once
_ALWAYS: Final = frozenset(("push", "pop", "leave", "pushfq", "popfq"))
_POINTERS: Final = ("rsp", "esp", "rbp", "ebp")
_ON_STACK: Final = ("qword ptr [rsp", "qword ptr [rbp")
_ENDS: Final = frozenset(("ret", "retf", "iretq", "hlt", "ud2"))


class Depth(NamedTuple):
    """The caller's RSP is `register` + `offset`; `saved`: where its registers are, from there."""

    register: int
    offset: int
    saved: dict[int, int]


@dataclass(frozen=True)
class _State:
    """RSP and RBP as offsets from the CFA, None if unknown; where registers are that the caller wants back."""

    sp: int | None = -_WORD
    fp: int | None = None
    saved: dict[str, int] = field(default_factory=dict[str, int])


def depth_at(read: Read, start: int, pc: int) -> Depth | None:
    """At `pc`, of a function that begins at `start`; None if no way to it is found, or RSP cannot be known there."""
    state = _follow(read, start, pc) if start <= pc < start + _MAX_REACH else None
    if state is None:
        return None
    saved = {REGISTER_NAMES.index(name): offset for name, offset in state.saved.items()}
    if state.sp is not None:
        return Depth(RSP, -state.sp, saved)
    return Depth(RBP, -state.fp, saved) if state.fp is not None else None


def _follow(read: Read, start: int, pc: int) -> _State | None:
    """Every instruction once, the nearest way first; a table of jumps is taken to lead behind itself."""
    waiting = [(start, _State())]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_INSTRUCTIONS:
        at, state = waiting.pop()
        for i in _stretch(read, at):
            if i.address in seen:
                break
            if i.address == pc:
                return state
            seen.add(i.address)
            word = i.mnemonic.rpartition(" ")[2]
            target = int(i.operands, 16) if word[0] == "j" and i.operands.startswith("0x") else None
            if _matters(word, i.operands):
                instruction = disasm.one(read(i.address, i.size), i.address)
                state = _after(instruction, word, state) if instruction is not None else state
            if target is not None and start <= target < start + _MAX_REACH:
                waiting.append((target, state))
            if word in _ENDS or (word == "jmp" and target is not None):
                break
    return None


def _stretch(read: Read, at: int) -> Iterator[Brief]:
    """Instructions one behind the other, as far as there are any; not more than a bound."""
    for _ in range(_MAX_INSTRUCTIONS):
        found = disasm.brief(read(at, _CHUNK), at)
        yield from found
        if not found:
            return
        at = found[-1].address + found[-1].size


def _matters(word: str, operands: str) -> bool:
    """True if the stack's depth, or what is saved, may be another behind such an instruction."""
    return word in _ALWAYS or operands.startswith(_POINTERS) or (word == "mov" and operands.startswith(_ON_STACK))


def _after(i: Instruction, word: str, state: _State) -> _State:
    """What an instruction makes of it."""
    if word == "push":
        return _push(i, state)
    if word == "pop":
        return _pop(i, state)
    if word == "leave":
        return replace(_without(state, "rbp"), sp=None if state.fp is None else state.fp + _WORD, fp=None)
    if word in ("pushfq", "popfq"):
        return replace(state, sp=_plus(state.sp, -_WORD if word == "pushfq" else _WORD))
    first = i.operands[0] if i.operands else None
    if first is None or word in ("call", "cmp", "test"):
        return state
    if word == "mov" and first.kind == "mem":
        return _store(i, state)
    if first.kind == "reg" and first.reg in ("rsp", "esp", "rbp", "ebp") and "w" in first.access:
        value = _value(i, word, state)
        return replace(state, sp=value) if first.reg[1:] == "sp" else replace(state, fp=value)
    return state


def _plus(value: int | None, more: int) -> int | None:
    return None if value is None else value + more


def _without(state: _State, name: str) -> _State:
    return replace(state, saved={n: at for n, at in state.saved.items() if n != name})


def _push(i: Instruction, state: _State) -> _State:
    sp = _plus(state.sp, -_WORD)
    name = i.operands[0].reg if i.operands else ""
    if name in _SAVED and name not in state.saved and sp is not None and not (name == "rbp" and state.fp is not None):
        return replace(state, sp=sp, saved={**state.saved, name: sp})
    return replace(state, sp=sp)


def _pop(i: Instruction, state: _State) -> _State:
    name = i.operands[0].reg if i.operands else ""
    after = replace(state, sp=None if name == "rsp" else _plus(state.sp, _WORD))
    if name == "rbp":
        after = replace(after, fp=None)
    return _without(after, name) if state.saved.get(name) == state.sp else after


def _store(i: Instruction, state: _State) -> _State:
    """A register saved by a plain store."""
    to, value = i.operands[0], i.operands[1] if len(i.operands) > 1 else None
    base = {"rsp": state.sp, "rbp": state.fp}.get(to.base)
    if value is None or value.reg not in _SAVED or value.reg in state.saved or base is None or to.index:
        return state
    if value.reg == "rbp" and state.fp is not None:
        return state
    return replace(state, saved={**state.saved, value.reg: base + to.disp})


def _value(i: Instruction, word: str, state: _State) -> int | None:
    """What RSP or RBP becomes, from the CFA."""
    known = {"rsp": state.sp, "rbp": state.fp}
    first, second = i.operands[0], i.operands[1] if len(i.operands) > 1 else None
    if second is None:
        return None
    if word == "mov" and second.kind == "reg":
        return known.get(second.reg)
    if word in ("add", "sub") and second.kind == "imm":
        return _plus(known.get(first.reg), second.imm if word == "add" else -second.imm)
    if word == "lea" and second.kind == "mem" and not second.index:
        return _plus(known.get(second.base), second.disp)
    return None
