"""Expressions over registers, symbols and memory: `rax + 8*rcx`, `[rsp+8] == 3`, `byte [buffer] & 1 && pid == 2`.

They are C's in operators and precedence; all values are unsigned and have 64 bits. A register's name means its value
(`$rax` too, and parts: eax, ax, al), a symbol's its address. Memory is read by `[address]`, 8 bytes, or `byte [..]`,
`word [..]`, `dword [..]`, `qword [..]`; `*address` is the same as `[address]`. As in gdb, `{int}address` and
`*(int *)address` are of the size of a C type, and `(int)value` is cut to it. `pid` and `tid` are the task's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from emu.prompt.errors import PromptError
from mini_kernel.x86 import U64


class Scope(Protocol):
    """What names and addresses mean, at the moment of the question."""

    def name(self, name: str) -> int | None:
        """A register, a symbol, pid, tid; None if it is nothing."""
        ...

    def load(self, address: int, size: int) -> int:
        """Memory. Raises PromptError where there is none."""
        ...


Expression = Callable[[Scope], int]


@dataclass(frozen=True)
class Load:
    """The expression that is memory: `size` bytes at `address`."""

    address: Expression
    size: int

    def __call__(self, scope: Scope) -> int:
        return scope.load(self.address(scope), self.size)


_TOKEN: Final = re.compile(
    r"(?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)(?![\w])"
    r"|(?P<name>\$?[A-Za-z_.@][\w.@$]*|\$\d*)"
    r"|(?P<char>'(?:\\.|[^\\'])')"
    r"|(?P<operator><<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>()\[\]{}])"
    r"|(?P<space>\s+)"
)
_SIZES: Final = {"byte": 1, "word": 2, "dword": 4, "qword": 8}
_ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "0": 0}
_MAX_DEPTH: Final = 50
_TYPES: Final = {"char": 1, "bool": 1, "short": 2, "int": 4, "long": 8, "size_t": 8, "uintptr_t": 8, "void": 1} | {
    f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_TYPE_WORDS: Final = {**_TYPES, "unsigned": 4, "signed": 4, "const": 4, "volatile": 4}

_BINARY: Final[dict[str, tuple[int, Callable[[int, int], int]]]] = {
    "||": (1, lambda a, b: int(bool(a or b))),
    "&&": (2, lambda a, b: int(bool(a and b))),
    "|": (3, lambda a, b: a | b),
    "^": (4, lambda a, b: a ^ b),
    "&": (5, lambda a, b: a & b),
    "==": (6, lambda a, b: int(a == b)),
    "!=": (6, lambda a, b: int(a != b)),
    "<": (7, lambda a, b: int(a < b)),
    "<=": (7, lambda a, b: int(a <= b)),
    ">": (7, lambda a, b: int(a > b)),
    ">=": (7, lambda a, b: int(a >= b)),
    "<<": (8, lambda a, b: a << b if b < 64 else 0),
    ">>": (8, lambda a, b: a >> b if b < 64 else 0),
    "+": (9, lambda a, b: a + b),
    "-": (9, lambda a, b: a - b),
    "*": (10, lambda a, b: a * b),
    "/": (10, lambda a, b: _divide(a, b)[0]),
    "%": (10, lambda a, b: _divide(a, b)[1]),
}
_UNARY: Final[dict[str, Callable[[int], int]]] = {
    "-": lambda a: -a,
    "+": lambda a: a,
    "~": lambda a: ~a,
    "!": lambda a: int(not a),
}


class Token(NamedTuple):
    """`kind` is a group of _TOKEN; `at` its place in the text."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """Raises PromptError, which quotes what was not understood."""
    parser = _Parser(text)
    found = parser.binary(0, 0)
    parser.end()
    return found


def evaluate(text: str, scope: Scope) -> int:
    """The value, 0 .. 2**64-1. Raises PromptError."""
    return parse(text)(scope)


def tokens(text: str) -> list[Token]:
    """Raises PromptError for a character that begins nothing."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PromptError(f"an expression cannot have {text[at:].split()[0]!r} in it")
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup or "", match[0], at))
        at = match.end()
    return found


class _Parser:
    """Precedence climbing; every rule gives a function of the scope."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0

    def end(self) -> None:
        """Nothing may be left."""
        if self._next < len(self._tokens):
            raise PromptError(f"{self._text[self._tokens[self._next].at :]!r} does not belong to the expression")

    def _peek(self) -> str:
        return self._tokens[self._next].text if self._next < len(self._tokens) else ""

    def _take(self) -> Token:
        if self._next == len(self._tokens):
            raise PromptError(f"{self._text!r} is not a whole expression" if self._text else "an expression is missing")
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str) -> None:
        if self._peek() != text:
            raise PromptError(f"{text!r} is missing in {self._text!r}")
        self._next += 1

    def binary(self, least: int, depth: int) -> Expression:
        """Operators of at least this precedence."""
        left = self._unary(depth)
        while (operator := _BINARY.get(self._peek())) is not None and operator[0] >= least:
            word = self._take().text
            right = self.binary(operator[0] + 1, depth + 1)
            left = _lazy(word, left, right) if word in ("&&", "||") else _apply(operator[1], left, right)
        return left

    def _unary(self, depth: int) -> Expression:
        if depth > _MAX_DEPTH:
            raise PromptError("the expression is too deep")
        token = self._take()
        if token.kind == "operator":
            return self._prefixed(token.text, depth + 1)
        if token.kind == "number":
            return _constant(_integer(token.text))
        if token.kind == "char":
            character = token.text[1:-1]
            return _constant(_ESCAPES.get(character[1], ord(character[1])) if len(character) > 1 else ord(character))
        size = _SIZES.get(token.text)
        if size is not None and self._peek() in ("ptr", "["):
            if self._peek() == "ptr":
                self._take()
            self._expect("[")
            return self._memory(size, depth + 1)
        return _named(token.text)

    def _prefixed(self, operator: str, depth: int) -> Expression:
        if operator == "(":
            if self._peek() in _TYPE_WORDS:
                return self._cast(depth)
            inner = self.binary(0, depth)
            self._expect(")")
            return inner
        if operator == "{":
            size, pointers = self._type("}")
            return Load(self._unary(depth), 8 if pointers else size)
        if operator == "[":
            return self._memory(8, depth)
        if operator == "*":
            size = self._pointed()
            return Load(self._unary(depth), size)
        if operator == "&":  # of a symbol: its address, which it is anyway
            return self._unary(depth)
        if operator not in _UNARY:
            raise PromptError(f"there is nothing before {operator!r} in {self._text!r}")
        apply, operand = _UNARY[operator], self._unary(depth)
        return lambda scope: apply(operand(scope)) & U64

    def _type(self, end: str) -> tuple[int, int]:
        """(bytes, stars) of a C type, up to a bracket."""
        words: list[str] = []
        while self._peek() in _TYPE_WORDS:
            words.append(self._take().text)
        if not words:
            raise PromptError(f"{self._peek()!r} is no type: char, short, int, long, uint32_t, ...")
        stars = 0
        while self._peek() == "*":
            self._take()
            stars += 1
        self._expect(end)
        sizes = [_TYPES[word] for word in words if word in _TYPES]
        return (8 if "long" in words else min(sizes, default=4)), stars

    def _pointed(self) -> int:
        """Bytes that `*` reads: those of the type, if a cast to a pointer follows."""
        start = self._next
        size = 8
        if self._peek() == "(":
            self._take()
            if self._peek() in _TYPE_WORDS:
                bytes_, stars = self._type(")")
                size = bytes_ if stars == 1 else 8
        self._next = start
        return size

    def _cast(self, depth: int) -> Expression:
        size, stars = self._type(")")
        operand, mask = self._unary(depth), U64 if stars else (1 << size * 8) - 1
        return lambda scope: operand(scope) & mask

    def _memory(self, size: int, depth: int) -> Expression:
        address = self.binary(0, depth)
        self._expect("]")
        return Load(address, size)


def _integer(text: str) -> int:
    base = {"x": 16, "b": 2}.get(text[1:2].lower(), 10)
    if len(text) > 70:
        raise PromptError("the number is too long")
    return int(text[2:] if base != 10 else text, base) & U64


def _constant(value: int) -> Expression:
    return lambda scope: value


def _named(name: str) -> Expression:
    def value(scope: Scope) -> int:
        found = scope.name(name)
        if found is None:
            raise PromptError(f"{name!r} is no register and no symbol")
        return found & U64

    return value


def _apply(operation: Callable[[int, int], int], left: Expression, right: Expression) -> Expression:
    return lambda scope: operation(left(scope), right(scope)) & U64


def _lazy(word: str, left: Expression, right: Expression) -> Expression:
    """The right side is not looked at where the left one decides."""
    if word == "&&":
        return lambda scope: int(bool(left(scope) and right(scope)))
    return lambda scope: int(bool(left(scope) or right(scope)))


def _divide(a: int, b: int) -> tuple[int, int]:
    if not b:
        raise PromptError("division by zero")
    return divmod(a, b)
