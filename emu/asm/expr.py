"""Constant expressions over numbers, symbols and `.`, with the precedence of GNU as.

Highest: unary - ~ + ! ; then * / % << >> ; then | & ^ ! (a ! b is a | ~b) ; then + - ; then == != <> < <= > >= (true is
-1) ; then && ; then || (true is 1). All levels associate to the left. That is not C's order (`1 << 2 + 1` is 5), but
sources are shared with GNU as and must mean the same here.

A value is an exact integer plus how many addresses it contains: a label has one, the difference of two has none.
"""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Final, NamedTuple

from emu.asm.errors import SourceError
from emu.asm.lexer import Token

MAX_OPERATORS: Final = 250  # in one expression; each is a level of recursion when the value is found
MAX_DEPTH: Final = 50  # parentheses and unary operators inside one another


class Value(NamedTuple):
    """`refs` is 1 for an address (it moves with the layout), 0 for a plain number."""

    number: int
    refs: int = 0


class Number(NamedTuple):
    value: int


class Symbol(NamedTuple):
    """A name; `.` is the address of the statement. `shown` is how the source wrote it."""

    name: str
    shown: str
    column: int


class Unary(NamedTuple):
    op: str
    operand: "Expr"
    column: int


class Binary(NamedTuple):
    op: str
    left: "Expr"
    right: "Expr"
    column: int


class Register(NamedTuple):
    """A register name; only an address in brackets may hold one."""

    name: str
    column: int


Expr = Number | Symbol | Unary | Binary | Register
Lookup = Callable[[Symbol], Value]

_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": eq, "!=": ne, "<>": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
_UNARY: Final = frozenset("-+~!(")
_LEVELS: Final = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset(_COMPARISONS),
    frozenset("+-"),
    frozenset("|&^!"),
    frozenset({"*", "/", "%", "<<", ">>"}),
)


#: Operators that are words in Intel syntax (GNU as manual 9.16.4.2; any case).
INTEL_OPERATORS: Final = {
    "and": "&", "or": "|", "xor": "^", "not": "~", "shl": "<<", "shr": ">>", "mod": "%",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip


class Cursor:
    """Walks the tokens of a statement; parses expressions.

    `registers` are names that are registers rather than symbols when they stand bare (Intel syntax), `reserved` names
    that are words of the syntax and never symbols.
    """

    def __init__(
        self,
        tokens: list[Token],
        end: int,
        registers: frozenset[str] = frozenset(),
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self.tokens = tokens
        self.end = end  # column behind the statement, for "something is missing"
        self.registers = registers
        self.reserved = reserved
        self.bits = 64  # that a number may have
        self.at: int = 0
        self._depth = 0
        self._operators = 0

    @property
    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    @property
    def column(self) -> int:
        return self.tokens[self.at].column if self.at < len(self.tokens) else self.end

    def peek(self, *texts: str) -> bool:
        """True if the next token is one of these names or punctuation marks (names in any case)."""
        token = self.token
        return token is not None and token.kind in ("punct", "name") and token.text.lower() in texts

    def take(self, *texts: str) -> bool:
        """Like peek, and steps over it."""
        found = self.peek(*texts)
        self.at += found
        return found

    def next(self, what: str) -> Token:
        """The next token; SourceError when there is none."""
        token = self.token
        if token is None:
            raise SourceError(f"{what} expected", self.end)
        self.at += 1
        return token

    def expect(self, text: str) -> None:
        if not self.take(text):
            found = self.token
            raise SourceError(f"'{text}' expected" + (f", found '{found.text}'" if found else ""), self.column)

    def finish(self) -> None:
        """Raises SourceError when anything is left."""
        if self.token is not None:
            text = self.token.text
            apart = self.token.kind != "punct" or text in ("%", "$")
            hint = f"is a comma missing before {text}?" if apart else ""
            raise SourceError(f"unexpected '{self.token.text}'", self.column, hint)

    def expression(self, level: int = 0) -> Expr:
        """Parses an expression; SourceError at the first token that does not belong."""
        if level == len(_LEVELS):
            return self._unary()
        if not level and self._alone():
            return self._atom(self.next("a value"))
        if level == 0 and self._depth == 0:
            self._operators = 0
        left = self.expression(level + 1)
        while (token := self.token) is not None:
            operator = token.text if token.kind == "punct" else self._word(token)
            if operator not in _LEVELS[level]:
                break
            self.at += 1
            self._operators += 1
            if self._operators > MAX_OPERATORS:
                raise SourceError(f"more than {MAX_OPERATORS} operators in an expression", token.column)
            left = Binary(operator, left, self.expression(level + 1), token.column)
        return left

    def _word(self, token: Token) -> str:
        """The operator that is a word here, or ""."""
        word = token.text.lower()
        return INTEL_OPERATORS.get(word, "") if token.kind == "name" and word in self.reserved else ""

    def _alone(self) -> bool:
        """Whether the next token is all there is to the expression, as most often."""
        rest = self.tokens[self.at : self.at + 2]
        return bool(rest) and rest[0].kind in ("number", "name") and (len(rest) == 1 or rest[1].text in (",", "]"))

    def _unary(self) -> Expr:
        column = self.column
        token = self.next("a value")
        sign = token.text if token.kind == "punct" else self._word(token)
        if sign in _UNARY:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise SourceError("expression is nested too deeply", column)
            inner = self._group() if sign == "(" else Unary(sign, self._unary(), column)
            self._depth -= 1
            return inner
        return self._atom(token)

    def _group(self) -> Expr:
        inner = self.expression()
        self.expect(")")
        return inner

    def _atom(self, token: Token) -> Expr:
        if token.kind == "number":
            if token.value >> self.bits:
                raise SourceError(f"{token.text} does not fit into {self.bits} bits", token.column)
            return Number(token.value)
        if token.kind == "name":
            if token.text.lower() in self.registers:
                return Register(token.text.lower(), token.column)
            if token.text.lower() in self.reserved:
                raise SourceError(f"a value expected, found '{token.text}'", token.column, reserved_hint(token.text))
            return _symbol(token)
        if token.kind == "local":
            return Symbol(token.text, token.text.split("#")[0], token.column)
        if token.text == "$" and token.kind == "punct":  # NASM's and MASM's name for `.`
            return Symbol(".", "$", token.column)
        hint = "text is data (.ascii); what goes into a register is its address" if token.kind == "string" else ""
        if token.text == "&" and self.token is not None and self.token.kind == "name":
            hint = (
                f"the address of {self.token.text} is `offset {self.token.text}`, or lea of [rip + {self.token.text}]"
            )
        raise SourceError(f"a value expected, found '{token.text}'", token.column, hint)


def reserved_hint(word: str) -> str:
    """For a word of the syntax that stands where a name belongs."""
    return f"{word} is a reserved word: nothing can be called so, {word}_ could"


def _symbol(token: Token) -> Symbol:
    name, _, modifier = token.text.partition("@")
    if not name:
        raise SourceError(f"a value expected, found '{token.text}'", token.column)
    if modifier and modifier.upper() != "PLT":  # in a static image the PLT entry of a function is the function
        raise SourceError(f"@{modifier} needs a linker; use --assembler gas", token.column)
    return Symbol(name, name, token.column)


def evaluate(expr: Expr, lookup: Lookup) -> Value:
    """The value of `expr`; `lookup` gives a symbol's value or raises. SourceError for what has no value in 64 bits."""
    match expr:
        case Number(value):
            return Value(value)
        case Symbol():
            return lookup(expr)
        case Unary(op, operand, column):
            inner = evaluate(operand, lookup)
            number = {"-": -inner.number, "+": inner.number, "~": ~inner.number, "!": int(not inner.number)}[op]
            return _checked(number, inner.refs if op == "+" else 0, column)
        case Binary(op, left, right, column):
            return _binary(op, evaluate(left, lookup), evaluate(right, lookup), column)
        case Register(name, column):
            raise SourceError(f"register {name} inside an expression", column)


def _binary(op: str, left: Value, right: Value, column: int) -> Value:
    a, b = left.number, right.number
    if op in "+-":
        refs = left.refs + (right.refs if op == "+" else -right.refs)
        if refs not in (0, 1):
            raise SourceError("sum of addresses", column)
        return _checked(a + b if op == "+" else a - b, refs, column)
    if op in _COMPARISONS:
        return Value(-1 if _COMPARISONS[op](a, b) else 0)
    if op in ("&&", "||"):
        return Value(int(bool(a and b) if op == "&&" else bool(a or b)))
    if op in "/%":
        if b == 0:
            raise SourceError("division by zero", column)
        quotient = abs(a) // abs(b) if (a < 0) == (b < 0) else -(abs(a) // abs(b))  # towards zero, as in C
        return Value(quotient if op == "/" else a - quotient * b)
    if op in ("u/", "u%"):  # NASM's, unsigned in 64 bits
        a, b = a % (1 << 64), b % (1 << 64)
        if b == 0:
            raise SourceError("division by zero", column)
        return Value(a // b if op == "u/" else a % b)
    if op in ("<<", ">>"):
        if not 0 <= b < 64:
            raise SourceError(f"shift by {b}", column)
        return _checked(a << b if op == "<<" else (a % (1 << 64)) >> b, 0, column)
    plain = {"*": a * b, "|": a | b, "&": a & b, "^": a ^ b, "!": a | ~b}
    return _checked(plain[op], 0, column)


def _checked(number: int, refs: int, column: int) -> Value:
    if not -(1 << 63) <= number < 1 << 64:
        raise SourceError("value does not fit into 64 bits", column)
    return Value(number, refs)
