"""DWARF expressions over registers and memory, as call frame information has them (DWARF 5, 2.5).

Whatever an expression says, it ends: there is a bound on its operations. One that means nothing raises ValueError.
"""

from collections.abc import Callable, Sequence
from typing import Final

from mini_kernel.x86 import U64

Register = Callable[[int], int | None]  # by DWARF's number
Load = Callable[[int, int], int | None]  # (address, bytes)

_MAX_OPERATIONS: Final = 1000
_MAX_STACK: Final = 64
_SIGN: Final = 1 << 63


class Reader:
    """Little-endian values one after another. Raises ValueError at the end."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else min(end, len(data))

    @property
    def more(self) -> bool:
        """Something is left."""
        return self.at < self.end

    def take(self, n: int) -> bytes:
        """So many bytes."""
        if not 0 <= n <= self.end - self.at:
            raise ValueError("it ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def unsigned(self, n: int) -> int:
        """Of n bytes."""
        return int.from_bytes(self.take(n), "little")

    def signed(self, n: int) -> int:
        """Of n bytes, in two's complement."""
        return int.from_bytes(self.take(n), "little", signed=True)

    def uleb(self) -> int:
        """Seven bits a byte, the lowest first (DWARF 5, 7.6)."""
        return self._leb()[0]

    def sleb(self) -> int:
        """The same with a sign."""
        value, bits = self._leb()
        return value - (1 << bits) if value >> bits - 1 else value

    def _leb(self) -> tuple[int, int]:
        value = bits = 0
        while True:
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value, bits

    def text(self) -> bytes:
        """Up to a NUL, which is passed."""
        end = self.data.find(b"\0", self.at, self.end)
        if end < 0:
            raise ValueError("a text without an end")
        piece, self.at = self.data[self.at : end], end + 1
        return piece


def evaluate(code: bytes, register: Register, load: Load, stack: Sequence[int] = ()) -> int:
    """The value on top at the end, 0 .. 2**64-1. Raises ValueError."""
    machine = _Machine(code, register, load, stack)
    for _ in range(_MAX_OPERATIONS):
        if not machine.code.more:
            return machine.pop()
        machine.step()
    raise ValueError("the expression does not end")


class _Machine:
    """The stack, and what is left of the expression."""

    def __init__(self, code: bytes, register: Register, load: Load, stack: Sequence[int]) -> None:
        self.code = Reader(code)
        self._register, self._load = register, load
        self._stack = list(stack)

    def pop(self) -> int:
        if not self._stack:
            raise ValueError("nothing is on the stack")
        return self._stack.pop()

    def push(self, value: int) -> None:
        if len(self._stack) >= _MAX_STACK:
            raise ValueError("too much is on the stack")
        self._stack.append(value & U64)

    def step(self) -> None:
        """One operation."""
        op = self.code.unsigned(1)
        if 0x30 <= op <= 0x4F:  # DW_OP_lit0 ..
            self.push(op - 0x30)
        elif 0x70 <= op <= 0x8F:  # DW_OP_breg0 ..
            self.push(self._of(op - 0x70) + self.code.sleb())
        elif op in _CONSTANTS:
            self.push(_CONSTANTS[op](self.code))
        elif op in _UNARY:
            self.push(_UNARY[op](self.pop()))
        elif op in _BINARY:
            right, left = self.pop(), self.pop()
            self.push(_BINARY[op](left, right))
        elif op in _MOVES:
            _MOVES[op](self)
        else:
            raise ValueError(f"operation {op:#x}")

    def _of(self, number: int) -> int:
        value = self._register(number)
        if value is None:
            raise ValueError(f"register {number} is not known")
        return value

    def memory(self, size: int) -> None:
        value = self._load(self.pop(), size) if 1 <= size <= 8 else None
        if value is None:
            raise ValueError("memory that cannot be read")
        self.push(value)

    def pick(self, index: int) -> None:
        if index >= len(self._stack):
            raise ValueError("nothing is there on the stack")
        self.push(self._stack[-1 - index])

    def swap(self) -> None:
        top, second = self.pop(), self.pop()
        self.push(top)
        self.push(second)

    def rotate(self) -> None:
        top, second, third = self.pop(), self.pop(), self.pop()
        for value in (top, third, second):
            self.push(value)

    def based(self) -> None:
        number = self.code.uleb()
        self.push(self._of(number) + self.code.sleb())

    def skip(self, wanted: bool) -> None:
        distance = self.code.signed(2)
        if wanted:
            self.code.at += distance
            if not 0 <= self.code.at <= self.code.end:
                raise ValueError("a jump out of the expression")


def _signed(value: int) -> int:
    return value - (1 << 64) if value & _SIGN else value


def _quotient(a: int, b: int) -> int:
    if not b:
        raise ValueError("division by zero")
    size = abs(_signed(a)) // abs(_signed(b))
    return -size if (a ^ b) & _SIGN else size


def _remainder(a: int, b: int) -> int:
    if not b:
        raise ValueError("division by zero")
    return a % b


_CONSTANTS: Final[dict[int, Callable[[Reader], int]]] = {
    0x03: lambda code: code.unsigned(8),  # DW_OP_addr
    0x08: lambda code: code.unsigned(1),
    0x09: lambda code: code.signed(1),
    0x0A: lambda code: code.unsigned(2),
    0x0B: lambda code: code.signed(2),
    0x0C: lambda code: code.unsigned(4),
    0x0D: lambda code: code.signed(4),
    0x0E: lambda code: code.unsigned(8),
    0x0F: lambda code: code.signed(8),
    0x10: Reader.uleb,  # DW_OP_constu
    0x11: Reader.sleb,  # DW_OP_consts
}
_UNARY: Final[dict[int, Callable[[int], int]]] = {
    0x19: lambda a: abs(_signed(a)),
    0x1F: lambda a: -a,
    0x20: lambda a: ~a,
}
_BINARY: Final[dict[int, Callable[[int, int], int]]] = {
    0x1A: lambda a, b: a & b,
    0x1B: _quotient,
    0x1C: lambda a, b: a - b,
    0x1D: _remainder,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << b if b < 64 else 0,
    0x25: lambda a, b: a >> b if b < 64 else 0,
    0x26: lambda a, b: _signed(a) >> min(b, 63),
    0x27: lambda a, b: a ^ b,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}
_MOVES: Final[dict[int, Callable[[_Machine], object]]] = {
    0x06: lambda m: m.memory(8),  # DW_OP_deref
    0x94: lambda m: m.memory(m.code.unsigned(1)),  # DW_OP_deref_size
    0x12: lambda m: m.pick(0),  # DW_OP_dup
    0x13: _Machine.pop,
    0x14: lambda m: m.pick(1),  # DW_OP_over
    0x15: lambda m: m.pick(m.code.unsigned(1)),
    0x16: _Machine.swap,
    0x17: _Machine.rotate,
    0x23: lambda m: m.push(m.pop() + m.code.uleb()),  # DW_OP_plus_uconst
    0x28: lambda m: m.skip(bool(m.pop())),  # DW_OP_bra
    0x2F: lambda m: m.skip(True),
    0x92: _Machine.based,  # DW_OP_bregx
    0x96: lambda m: None,  # DW_OP_nop
}
