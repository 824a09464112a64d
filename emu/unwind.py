"""The calls that led here: from each frame to its caller's, whatever the stack says.

    for frame in unwind(registers, space, symbols).frames: ...

A frame's caller is found by the first of these that works:

cfi             what the compiler says about the function (emu/cfi.py)
signal          the kernel's frame under a signal handler: all registers are in it (mini_kernel/signal.py)
code            reading the function from its start to the instruction (emu/stack_depth.py)
frame pointer   RBP, where it leads to a return address
guess           the first word on the stack that is behind a call

Stacks may say anything, also that they have no end: each frame must be above the one before, unless a signal came
between, none may come again, and there are at most as many as were asked for.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Protocol

from emu import disasm
from emu.cfi import Row, Rule
from emu.dwarf_expression import evaluate
from emu.stack_depth import Depth, depth_at
from emu.symbols import SourceLine, Symbols
from mini_kernel.x86 import (
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
    TASK_SIZE,
    U64,
)

Found = Literal["here", "cfi", "signal", "code", "frame pointer", "guess"]
Values = dict[int, int]  # by x86's numbers of registers

WORD: Final = 8
_DWARF: Final = (RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, RIP)  # psABI 3.6.2
_KEPT: Final = (RBX, RBP, R12, R13, R14, R15)  # belong to the caller (psABI 3.2.1)
_CONTEXT_AT: Final = 40  # of struct sigcontext in struct ucontext: behind uc_flags, uc_link, uc_stack
_CONTEXT: Final = (R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP)
_TRAMPOLINES: Final = (b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05", b"\xb8\x0f\0\0\0\x0f\x05")  # mov rax/eax, SYS_rt_sigreturn
_CALLS: Final = (5, 2, 3, 6, 7, 4, 8)  # bytes of a call, the likely ones first
_LABELS: Final = 24  # that may be the function's start, where symbols have no sizes
_MAX_BELOW: Final = 1 << 24  # bytes of one frame that a frame pointer may claim
_SCANNED: Final = 256  # words that are looked at for a guess


class Frame(NamedTuple):
    """A function that was called and has not returned.

    rip         the next instruction in it
    cfa         RSP in its caller once it has returned; None if the caller is not known
    registers   those that are known in this frame, by number; RIP and RSP always are
    saved       addresses where the caller's values are, by number
    found       how it was found, from the frame inside it
    exact       rip was interrupted, and is not behind a call: the innermost frame, and what a signal stopped
    signal      it is the kernel's, between a handler and what was interrupted
    name        `function+0x12`
    """

    number: int
    rip: int
    cfa: int | None
    registers: Values
    saved: Values
    found: Found
    exact: bool
    signal: bool
    name: str | None
    source: SourceLine | None


class Backtrace(NamedTuple):
    """`broken`: why there are no more frames, if that is not the end of the stack."""

    frames: list[Frame]
    broken: str | None


class _Caller(NamedTuple):
    """One frame up."""

    cfa: int
    registers: Values
    saved: Values
    found: Found
    signal: bool = False  # what it left was the kernel's frame


class _Broken(Exception):
    """The stack does not make sense; says why."""


class _End(Exception):
    """The outermost frame."""


class Space(Protocol):
    """Memory as the program has it."""

    def read(self, address: int, n: int) -> bytes:
        """Up to `n` bytes, short where nothing can be read."""
        ...

    def executable(self, address: int) -> bool:
        """True where code may be."""
        ...


def unwind(registers: Values, space: Space, symbols: Symbols, limit: int = 32) -> Backtrace:
    """The frames, the innermost first: at `registers`, by number, all of them."""
    stack = _Stack(registers, space, symbols)
    frames: list[Frame] = []
    try:
        for frame in stack.frames():
            frames.append(frame)
            if len(frames) >= max(1, limit):
                break
    except _Broken as broken:
        return Backtrace(frames, str(broken))
    return Backtrace(frames, None)


class _Stack:
    """One stack, and what is known of the program."""

    def __init__(self, registers: Values, space: Space, symbols: Symbols) -> None:
        self._first = registers
        self._space = space
        self._names = symbols
        self._lines: dict[int, SourceLine | None] = {}
        self._depths: dict[tuple[int, int], Depth | None] = {}

    def frames(self) -> Iterator[Frame]:
        """Raises _Broken behind the last."""
        values, found, exact = self._first, "here", True
        seen: set[tuple[int, int]] = set()
        number = 0
        while True:
            try:
                caller, why = self._caller(values, exact), None
                self._check(values, caller, seen)
            except (_End, _Broken) as ended:
                caller, why = None, ended
            yield self._frame(number, values, found, exact, caller)
            if caller is None:
                if isinstance(why, _Broken):
                    raise why
                return
            values, found, exact = caller.registers, caller.found, caller.signal
            number += 1

    def _frame(self, number: int, values: Values, found: Found, exact: bool, caller: _Caller | None) -> Frame:
        rip = values[RIP]
        signal = caller is not None and caller.signal
        inside = rip if exact or signal else rip - 1
        label = self._names.label(inside)
        name = None if label is None else label[0] + (f"+{rip - label[1]:#x}" if rip != label[1] else "")
        cfa = caller.cfa if caller is not None else None
        saved = caller.saved if caller is not None else {}
        if inside not in self._lines:
            self._lines[inside] = self._names.line(inside)
        return Frame(number, rip, cfa, values, saved, found, exact or signal, signal, name, self._lines[inside])

    def _check(self, values: Values, caller: _Caller, seen: set[tuple[int, int]]) -> None:
        """Raises _Broken for a caller that cannot be."""
        rip, sp = caller.registers[RIP], caller.registers[RSP]
        if (rip, sp) in seen:
            raise _Broken("the frames go in a circle")
        seen.add((rip, sp))
        if not caller.signal and sp <= values[RSP]:
            raise _Broken(f"the caller's frame at {sp:#x} is not above this one")
        if not self._executable(rip):
            if not rip:
                raise _End
            raise _Broken(f"the return address {rip:#x} is no code")

    # -- one frame up ---------------------------------------------------------------------------------

    def _caller(self, values: Values, exact: bool) -> _Caller:
        """Raises _End, _Broken."""
        rip = values[RIP]
        if self._is_trampoline(rip):
            return self._interrupted(values)
        if not self._executable(rip):
            return self._jumped(values)
        row = self._names.call_frames.row(rip if exact else rip - 1)
        if row is not None:
            return self._described(values, row)
        return self._by_code(values, exact) or self._by_pointer(values) or self._guessed(values)

    def _is_trampoline(self, rip: int) -> bool:
        """True at the instructions that return from a signal handler, as gdb knows them."""
        return any(
            self._read(rip - back, len(code)) == code for code in _TRAMPOLINES for back in (0, len(code) - 2)
        )  # fmt: skip

    def _interrupted(self, values: Values) -> _Caller:
        """The handler's `ret` has taken the return address: RSP is at the ucontext."""
        at = values[RSP] + _CONTEXT_AT
        saved = {register: at + WORD * i & U64 for i, register in enumerate(_CONTEXT)}
        found = self._load_all(saved)
        return _Caller(found[RSP], found, saved, "signal", True)

    def _jumped(self, values: Values) -> _Caller:
        """At an address that is no code: what called it has left the way back on top of the stack."""
        sp = values[RSP]
        if not self._is_return_address(self._word(sp)):
            raise _End
        return self._up(values, sp + WORD, {}, "code")

    def _up(self, values: Values, cfa: int, saved: Values, found: Found) -> _Caller:
        """The caller by its frame's address, and where registers are saved."""
        saved = {**saved, RIP: cfa - WORD & U64}
        kept = {register: values[register] for register in _KEPT if register in values}
        return _Caller(cfa & U64, {**kept, **self._load_all(saved), RSP: cfa & U64}, saved, found)

    def _load_all(self, saved: Values) -> Values:
        found: Values = {}
        for register, address in saved.items():
            value = self._word(address)
            if value is None and register in (RIP, RSP):
                raise _Broken(f"the stack at {address:#x} cannot be read")
            if value is not None:
                found[register] = value
        return found

    # -- as the compiler says ---------------------------------------------------------------------------

    def _described(self, values: Values, row: Row) -> _Caller:
        try:
            cfa = self._cfa(values, row)
        except ValueError as error:
            raise _Broken(f"the frame cannot be found: {error}") from None
        rules = {_DWARF[number]: rule for number, rule in row.rules.items() if number < len(_DWARF)}
        returns = _DWARF[row.returns] if row.returns < len(_DWARF) else RIP
        if returns not in rules or rules[returns].how == "undefined":
            raise _End
        found: Values = {register: values[register] for register in _KEPT if register in values} | {RSP: cfa}
        saved: Values = {}
        for register, rule in rules.items():
            found.pop(register, None)
            try:
                self._apply(values, cfa, register, rule, found, saved)
            except ValueError:
                continue  # the register is not known
        if returns not in found:
            where = saved.get(returns)
            raise _Broken("the return address cannot be read" + (f" at {where:#x}" if where is not None else ""))
        found[RIP] = found[returns]
        return _Caller(cfa, {RSP: cfa} | found, saved, "signal" if row.signal else "cfi", row.signal)

    def _cfa(self, values: Values, row: Row) -> int:
        if isinstance(row.cfa, bytes):
            return self._evaluate(values, row.cfa)
        register, offset = row.cfa
        value = self._of(values, register)
        if value is None:
            raise ValueError(f"register {register} is not known")
        return value + offset & U64

    def _apply(self, values: Values, cfa: int, register: int, rule: Rule, found: Values, saved: Values) -> None:
        """Puts the caller's value, and where it is, into `found` and `saved`. Raises ValueError if it is not known."""
        if rule.how in ("at", "expression"):
            at = cfa + rule.value if rule.how == "at" else self._evaluate(values, rule.code, cfa)
            saved[register] = at & U64
            value = self._word(at & U64)
        elif rule.how in ("offset", "value"):
            value = cfa + rule.value & U64 if rule.how == "offset" else self._evaluate(values, rule.code, cfa)
        else:
            source = {"same": _DWARF.index(register), "register": rule.value}.get(rule.how)
            value = None if source is None else self._of(values, source)
        if value is not None:
            found[register] = value

    def _of(self, values: Values, number: int) -> int | None:
        return values.get(_DWARF[number]) if number < len(_DWARF) else None

    def _evaluate(self, values: Values, code: bytes, *stack: int) -> int:
        def load(address: int, size: int) -> int | None:
            data = self._read(address, size)
            return int.from_bytes(data, "little") if len(data) == size else None

        return evaluate(code, lambda number: self._of(values, number), load, stack)

    # -- without a description ----------------------------------------------------------------------------

    def _by_code(self, values: Values, exact: bool) -> _Caller | None:
        """By the stack's depth at this instruction, from where the function begins.

        A label in assembly may be a function's start or a place in one: a start is where the caller's call leads to.
        Raises _End where the program began.
        """
        rip = values[RIP]
        possible: _Caller | None = None
        for i, (name, start) in enumerate(self._names.labels(rip if exact else rip - 1, _LABELS)):
            if name == "_start":
                if i == 0 or (possible is None and self._depth(start, rip) is not None):
                    raise _End
                break
            depth = self._depth(start, rip)
            if depth is None or depth.register not in values:
                continue
            cfa = values[depth.register] + depth.offset
            back = self._word(cfa - WORD)
            if not self._is_return_address(back):
                continue
            up = self._up(values, cfa, {r: cfa + at & U64 for r, at in depth.saved.items()}, "code")
            if self._called(back) == start:
                return up
            possible = possible or up
        return possible

    def _depth(self, start: int, rip: int) -> Depth | None:
        if (start, rip) not in self._depths:
            self._depths[start, rip] = depth_at(self._read, start, rip)
        return self._depths[start, rip]

    def _by_pointer(self, values: Values) -> _Caller | None:
        fp, sp = values.get(RBP), values[RSP]
        if fp is None or not sp <= fp < sp + _MAX_BELOW or not self._is_return_address(self._word(fp + WORD)):
            return None
        return self._up(values, fp + 2 * WORD, {RBP: fp}, "frame pointer")

    def _guessed(self, values: Values) -> _Caller:
        sp = values[RSP]
        data = self._read(sp, _SCANNED * WORD)
        for at in range(0, len(data) - WORD + 1, WORD):
            if self._is_return_address(int.from_bytes(data[at : at + WORD], "little")):
                return self._up(values, sp + at + WORD, {}, "guess")
        raise _End

    # -- memory and code ------------------------------------------------------------------------------------

    def _read(self, address: int, n: int) -> bytes:
        return self._space.read(address, n) if 0 <= address < TASK_SIZE else b""

    def _word(self, address: int) -> int | None:
        data = self._read(address, WORD)
        return int.from_bytes(data, "little") if len(data) == WORD else None

    def _executable(self, address: int) -> bool:
        return 0 <= address < TASK_SIZE and self._space.executable(address)

    def _call_before(self, address: int) -> disasm.Brief | None:
        """The call that ends at an address."""
        code = self._read(address - _CALLS[-1], _CALLS[-1])
        for size in _CALLS if len(code) == _CALLS[-1] else ():
            found = disasm.brief(code[-size:], address - size)
            if found and found[0].size == size and found[0].mnemonic.rpartition(" ")[2] == "call":
                return found[0]
        return None

    def _is_return_address(self, value: int | None) -> bool:
        """True behind a call, and at what the kernel lets a signal handler return to."""
        if not value or not self._executable(value):
            return False
        return self._call_before(value) is not None or self._is_trampoline(value)

    def _called(self, back: int | None) -> int | None:
        """Where the call before a return address leads, if it says so itself."""
        call = self._call_before(back) if back else None
        return int(call.operands, 16) if call is not None and call.operands.startswith("0x") else None
