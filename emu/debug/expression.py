"""Conditions and values as text, as in a debugger's prompt: `$rax == 3 && [counter + 8] > 10`.

Numbers in any base, $registers, symbols (their address), `[e]` the 8 bytes at an address (`byte`, `word`, `dword`,
`qword` before it choose the size), parentheses, and C's operators with C's precedence. Values are 64-bit and unsigned.
"""

import re
from collections.abc import Callable
from typing import Final

from emu.debug.runner import DebugError, Runner
from emu.debug.state import read, registers
from mini_kernel.x86 import REGISTER_NAMES

_U64: Final = 0xFFFF_FFFF_FFFF_FFFF
_TOKEN: Final = re.compile(
    r"\s*(?:(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)|(\$?[A-Za-z_.@][\w.@$]*)|(&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%&|^~!<>()\[\]]))"
)
_SIZES: Final = {"byte": 1, "word": 2, "dword": 4, "qword": 8}
_LEVELS: Final = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"),
    ("*", "/", "%"),
)  # fmt: skip
_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "||": lambda a, b: int(bool(a or b)),
    "&&": lambda a, b: int(bool(a and b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << min(b, 64),
    ">>": lambda a, b: a >> min(b, 64),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}

Value = Callable[[Runner], int]


class Expression:
    """A parsed expression; call it with a debugger for its value. Raises DebugError for text that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _split(text)
        self._at = 0
        self._value = self._binary(0)
        if self._at < len(self._tokens):
            raise DebugError(f"{text!r}: {self._tokens[self._at]!r} is not expected there")

    def __call__(self, d: Runner) -> int:
        """Raises DebugError for a symbol, register or memory that is not there."""
        return self._value(d) & _U64

    def condition(self, d: Runner) -> bool:
        """As a Point's condition. What cannot be worked out holds: better to stop once too often."""
        try:
            return bool(self(d))
        except DebugError:
            return True

    # -- parsing ------------------------------------------------------------------------------------

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, token: str) -> None:
        if self._next() != token:
            raise DebugError(f"{self.text!r}: {token!r} is missing")
        self._at += 1

    def _binary(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._next() in _LEVELS[level]:
            operator = self._next()
            self._at += 1
            left = _apply(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Value:
        token = self._next()
        self._at += 1
        if token in ("-", "~", "!"):
            value = self._unary()
            if token == "!":
                return lambda d: int(not value(d))
            return (lambda d: -value(d) & _U64) if token == "-" else (lambda d: ~value(d) & _U64)
        if token == "(":
            value = self._binary(0)
            self._take(")")
            return value
        if token in _SIZES and self._next() == "[":
            self._at += 1
            return self._memory(_SIZES[token])
        if token == "[":
            return self._memory(8)
        if token[:1].isdigit():
            number = int(token, 0 if not token.isdigit() else 10)
            return lambda d: number
        if not token or not (token[0].isalpha() or token[0] in "$_.@"):
            raise DebugError(f"{self.text!r} is not complete" if not token else f"{self.text!r}: unexpected {token!r}")
        return _register(token[1:]) if token[0] == "$" else _symbol(token)

    def _memory(self, size: int) -> Value:
        address = self._binary(0)
        self._take("]")

        def load(d: Runner) -> int:
            at = address(d) & _U64
            data = read(d, at, size)
            if len(data) < size:
                raise DebugError(f"{at:#x} cannot be read")
            return int.from_bytes(data, "little")

        return load


def _apply(operator: str, left: Value, right: Value) -> Value:
    if operator in ("/", "%"):
        return lambda d: _divide(operator, left(d), right(d))
    if operator in ("&&", "||"):
        stop = operator == "||"
        return lambda d: int(stop) if bool(left(d)) is stop else int(bool(right(d)))
    work = _BINARY[operator]
    return lambda d: work(left(d), right(d)) & _U64


def _divide(operator: str, a: int, b: int) -> int:
    if not b:
        raise DebugError("division by zero")
    return a // b if operator == "/" else a % b


def _split(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise DebugError(f"{text!r}: {text[at:].strip()[:1]!r} means nothing here")
        tokens.append(match.group(match.lastindex or 0))
        at = match.end()
    return tokens


def _register(name: str) -> Value:
    wide = _NARROW.get(name, (name, _U64))
    number = REGISTER_NAMES.index(wide[0]) if wide[0] in REGISTER_NAMES else -1

    def get(d: Runner) -> int:
        if number >= 0 and d.current is d.kernel.sched.loaded is not None:
            return d.machine.regs[number] & wide[1]  # as conditions are often asked
        values = registers(d).named()
        if name == "pc":
            return values["rip"]
        if name == "sp":
            return values["rsp"]
        if wide[0] not in values:
            raise DebugError(f"there is no register ${name}")
        return values[wide[0]] & wide[1]

    return get


def _symbol(name: str) -> Value:
    def get(d: Runner) -> int:
        found = d.symbols().addresses().get(name)
        if found is None:
            raise DebugError(f"there is no symbol {name!r}")
        return found

    return get


def _narrow() -> dict[str, tuple[str, int]]:
    """Parts of registers: name -> (register, mask)."""
    found: dict[str, tuple[str, int]] = {}
    for letter in "abcd":
        found |= {f"e{letter}x": (f"r{letter}x", 0xFFFF_FFFF), f"{letter}x": (f"r{letter}x", 0xFFFF)}
        found[f"{letter}l"] = (f"r{letter}x", 0xFF)
    for name in ("si", "di", "bp", "sp"):
        found |= {f"e{name}": (f"r{name}", 0xFFFF_FFFF), f"{name}l": (f"r{name}", 0xFF)}
    for number in range(8, 16):
        name = f"r{number}"
        found |= {f"{name}d": (name, 0xFFFF_FFFF), f"{name}w": (name, 0xFFFF), f"{name}b": (name, 0xFF)}
    return found | {"eflags": ("rflags", 0xFFFF_FFFF), "eip": ("rip", 0xFFFF_FFFF)}


_NARROW: Final = _narrow()
