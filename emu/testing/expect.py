"""Expectations: a subject, an operator and a value; and what they say of a run."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from emu.testing.evidence import REGISTERS, Evidence
from emu.testing.values import Words, number
from mini_kernel.ledger import Ledger, MemoryCosts
from mini_kernel.mm.fault import FAULT_CLASSES
from mini_kernel.uapi import signal_names, syscall_names

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TEXTS: Final = ("stdout", "stderr")
_PLAIN: Final = ("exit", "signal", "si_code", "mappings", "leaks", "ending")
_FRAMES: Final = ("allocated", "in_use", "peak")
_COUNTERS: Final = ("instructions", "tlb_flushes", "code_flushes")
_GROUPS: Final = ("faults", "syscalls", "signals", "forks")
_U64: Final = (1 << 64) - 1

Value = int | bytes


@dataclass(frozen=True)
class Expectation:
    """`subject operator value`. A memory subject has a symbol, an offset and a size in bytes."""

    subject: str
    operator: str
    value: Value
    text: str  # as written
    where: str  # file:line
    symbol: str = ""
    offset: int = 0
    size: int = 8

    def holds(self, evidence: Evidence) -> bool:
        """True if the run is as expected."""
        found = self.found(evidence)
        if self.operator == "contains":
            return isinstance(found, bytes) and self.value in found  # type: ignore[operator]  # both are bytes
        if self.operator == "matches":
            return isinstance(found, bytes) and re.search(self.value, found) is not None  # type: ignore[type-var]
        if found is None or isinstance(found, bytes) != isinstance(self.value, bytes):
            return self.operator == "!="
        value = self.value
        if isinstance(value, int) and (self.subject in REGISTERS or self.subject == "memory"):
            value &= _U64 if self.subject != "memory" else (1 << 8 * self.size) - 1
        return _COMPARE[self.operator](found, value)

    def found(self, evidence: Evidence) -> Value | None:
        """What there is in place of the value; None if the run left nothing of the kind."""
        if self.subject in _TEXTS:
            return getattr(evidence, self.subject)
        if self.subject == "memory":
            return self._memory(evidence)
        if self.subject in REGISTERS:
            return evidence.registers.get(self.subject)
        if self.subject in ("exit", "signal", "si_code"):
            return {"exit": evidence.exit, "signal": evidence.signal, "si_code": evidence.si_code}[self.subject]
        if self.subject == "ending":
            return evidence.ending.encode()
        if self.subject in ("mappings", "leaks"):
            return len(getattr(evidence, self.subject))
        return _ledger(evidence, self.subject)

    def _memory(self, evidence: Evidence) -> Value | None:
        data = evidence.memory.get((self.symbol, self.offset, self.size))
        if data is None or isinstance(self.value, bytes):
            return data
        return int.from_bytes(data, "little")

    def shown(self, found: Value | None) -> str:
        """A found value in words."""
        if found is None:
            return "not there"
        if self.subject == "signal":
            return signal_names.get(int(found), str(found))
        if isinstance(found, bytes):
            return repr(found)[1:]
        return f"{found} ({found:#x})" if self.subject in (*REGISTERS, "memory") and found > 9 else str(found)


def _ledger(evidence: Evidence, path: str) -> int:
    """A count by its path, a group's is that of all in it; what never happened is 0."""
    group, _, name = path.partition(".")
    if group == "frames":
        return evidence.ledger["frames"][name]
    total: Any = evidence.ledger["total"]
    value = total.get(group, evidence.ledger.get(group, 0))
    if not isinstance(value, dict):
        return value
    counts = cast(dict[str, int], value)
    return counts.get(name, 0) if name else sum(counts.values())


def parse_expectation(words: Words, text: str) -> Expectation:
    """The words behind EXPECT."""
    at = words.at
    subject = words.word("what is expected: exit, stdout, a register, faults.cow_copy, memory[symbol], ...")
    symbol, offset, size = "", 0, 8
    if subject == "memory":
        symbol, offset, size = _place(words)
    elif not _known(subject):
        raise words.error(f"nothing is called {subject}", at)
    at = words.at
    op = words.take("an operator: ==, !=, <=, >=, <, >, contains, matches")[1]
    if op not in _COMPARE and op not in ("contains", "matches"):
        raise words.error(f"expected an operator (==, !=, <=, >=, <, >, contains, matches), not {op}", at)
    value = _value(words, subject, op)
    words.end()
    if subject == "memory" and isinstance(value, bytes):
        size = len(value)
    return Expectation(subject, op, value, text, words.where, symbol, offset, size)


def _place(words: Words) -> tuple[str, int, int]:
    """`[symbol + 8, 4]`: symbol, offset and size."""
    offset, size, at = 0, 8, words.at
    if words.take("[symbol]")[1] != "[":
        raise words.error("expected [symbol]", at)
    symbol = words.word("a symbol")
    at = words.at
    while (mark := words.take("]")[1]) != "]":
        if mark == "+":
            offset = words.number("an offset")
        elif mark == ",":
            size = words.number("a size")
        else:
            raise words.error("expected ], + OFFSET or , SIZE", at)
        at = words.at
    return symbol, offset, size


def _value(words: Words, subject: str, op: str) -> Value:
    at = words.at
    kind, text = words.take("a value")
    wants_text = subject in (*_TEXTS, "ending") or op in ("contains", "matches")
    if kind == "string" or (subject == "ending" and kind == "word"):
        if not wants_text and subject != "memory":
            raise words.error(f"{subject} is a number", at)
        value: Value | None
        if op == "matches":
            value = words.raw(text)
            _check_pattern(words, value, at)
        else:
            value = words.literal(text, at) if kind == "string" else text.encode()
    elif wants_text:
        raise words.error(f"{subject} is text: write it in double quotes", at)
    else:
        value = number(text) if kind == "word" else None
    if value is None:
        raise words.error(f"{text} is neither a number nor a name that the kernel's interface has", at)
    if wants_text and subject not in (*_TEXTS, "ending"):
        raise words.error(f"{op} is for stdout and stderr", at)
    return value


def _check_pattern(words: Words, pattern: bytes, at: int) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise words.error(f"not a regular expression: {error}", at) from None


def _known(subject: str) -> bool:
    """True for what `Expectation.found` can find."""
    group, dot, name = subject.partition(".")
    if not dot:
        costs = (*MemoryCosts.__slots__, "blocks", "context_switches", *_COUNTERS)
        return subject in (*_TEXTS, *_PLAIN, *REGISTERS, *costs, *_GROUPS)
    names: dict[str, Any] = {
        "faults": FAULT_CLASSES,
        "syscalls": set(syscall_names.values()),
        "signals": set(signal_names.values()),
        "frames": _FRAMES,
        "forks": ("classic", "odf", "sfork", "vfork", "thread"),
    }
    return group in (*Ledger.__slots__, "frames") and name in names.get(group, ())
