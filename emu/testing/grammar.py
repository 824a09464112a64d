r"""EXPECT and RUN lines of a source file, in comments (`#`, `;` or `//`).

    # EXPECT exit == 7                    signal == SIGSEGV, si_code == SEGV_MAPERR, ending == "deadlock"
    # EXPECT rax == 7                     any register, as the first process's last instruction finds it
    # EXPECT stdout == "hi\n"             contains "text", matches "regular expression"; stderr likewise
    # EXPECT memory[counter] == 3         memory[table + 8, 4]: offset and size; or a string
    # EXPECT faults.cow_copy == 1         any path of the ledger: syscalls.mmap, frames.peak, tables_shared, ...
    # EXPECT faults.demand_zero <= 12     == != <= >= < >; faults, syscalls, signals, forks alone: all of them
    # EXPECT mappings == 4                areas at the end; leaks: those the program mapped and did not unmap
    # EXPECT golden "start" "syscalls"    the trace is the one kept in golden/FILE.start.trace; with a filter

    # RUN args one "two words"            # RUN stdin "text\n"
    # RUN env NAME=value                  # RUN file /etc/motd "text\n"
    # RUN fork classic odf sfork          # RUN mem 64M 1G         each runs as a test of its own, in all
    # RUN seeds 1 2 3                     # RUN schedules 20       combinations; schedules N is seeds 1 to N
    # RUN timeout 5                       # RUN max-insns 100000
    # RUN fail mmap ENOMEM 2              the second mmap fails; `fail any EINTR 3`: the third call of all
    # RUN refuse 5 1                      the fifth frame is not there (without the 1: nor any after it)
    # RUN check                           recompute the kernel's invariants after every entry
    # RUN exact                           count instructions, for EXPECT instructions
    # RUN assembler gas                   # RUN syntax nasm

Schedules are those of one CPU, which is taken from a task between any two instructions, but never within one: an
unlocked `add [counter], 1` loses nothing here, though it would on two CPUs; load, add and store do.

A golden trace is kept for each combination of RUN lines. Interleavings and kinds of fork that the command line chooses
(--schedules, --emu-seed, --emu-fork) change what a trace holds: under them it is not compared.

`RUN fork` says what fork(2) means, classic or odf; it never means sfork, which needs to know what is to be shared. A
program that is to run under all three makes its children by the system call FORK_CALL: a constant in sources, and a
variable of the environment for others (`syscall(atoi(getenv("FORK_CALL")), size, flags, region)`). It is fork, odfork
or sfork, of which only sfork looks at its arguments. Under `RUN fork sfork` a child must be made by sfork.

`exit` at the end of a program needs registers of its own: what rax and rdi held before is gone. A test of a routine may
end with `hlt` (EXPECT signal == SIGSEGV) or `int3` (SIGTRAP) instead. A line that is none of these is an error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

from emu.errors import EmuError
from emu.program import ASSEMBLERS, AssemblerName
from emu.testing.expect import Expectation, parse_expectation
from emu.testing.values import Words, short
from emu.trace import Filter
from mini_kernel.uapi import syscall_names

_LINE: Final = re.compile(r"^\s*(?:#|;|//)\s*(EXPECT|RUN)\b[ \t]*(.*?)\s*$")
_COLON: Final = re.compile(r"^\s*(?:#|;|//)\s*(EXPECTS?|RUN|expect|run)\s*[:=]")
_OTHERWISE: Final = re.compile(
    r"^\s*(?:#|;|//)\s*(?!EXPECT\b)((?i:expects?)\s+\S+\s*(?:[=!<>]=|[<>]|contains\b|matches\b))"
)
_NAME: Final = re.compile(r"\w[\w.-]*")
FORK_KINDS: Final = ("classic", "odf", "sfork")
SYNTAXES: Final = ("intel", "att", "nasm")
_MOST_VARIANTS: Final = 10_000
T = TypeVar("T")


@dataclass(frozen=True)
class Golden:
    """A trace to compare with the one that is kept under `name`."""

    name: str
    filter: str
    where: str


@dataclass
class Plan:
    """All lines of one file."""

    path: str  # of the file with the lines
    program: str = ""  # of the program, if that is another file
    program_where: tuple[str, int] = ("", 0)  # the file and line that name it
    expectations: list[Expectation] = field(default_factory=list[Expectation])
    goldens: list[Golden] = field(default_factory=list[Golden])
    args: list[str] = field(default_factory=list[str])
    stdin: bytes = b""
    env: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    forks: list[str] = field(default_factory=list[str])
    forks_where: str = ""
    memories: list[int] = field(default_factory=list[int])
    seeds: list[int] = field(default_factory=list[int])
    timeout: float | None = 60.0
    max_insns: int | None = None
    check: bool = False
    exact: bool = False
    failures: list[tuple[int, str, int]] = field(default_factory=list[tuple[int, str, int]])
    refused: tuple[int, int] | None = None
    assembler: AssemblerName = "keystone"
    syntax: str = "intel"
    default_memory: int = 1 << 30

    def wanted(self) -> list[tuple[str, int, int]]:
        """The memory that expectations are about."""
        return [(e.symbol, e.offset, e.size) for e in self.expectations if e.subject == "memory"]


def parse_source(path: Path) -> Plan:
    """The lines of a source file. Raises EmuError (LineError) for the first that cannot be understood."""
    shown = short(path)
    plan = Plan(shown)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        for lookalike, advice in ((_COLON, "write EXPECT or RUN, without a colon"), (_OTHERWISE, "write EXPECT")):
            if look := lookalike.match(line):
                raise Words("", shown, number, look.start(1) + 1, line).error(advice)
        found = _LINE.match(line)
        if found is None:
            continue
        read_line(plan, found[1], Words(found[2], shown, number, found.start(2) + 1, line), found[2])
    return plan


def read_text(path: Path) -> str:
    """A file of tests. Raises EmuError where that is impossible."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise EmuError(f"cannot be read: {error.strerror}", file=short(path)) from None


def read_line(plan: Plan, kind: str, words: Words, text: str) -> None:
    """One line, without its comment sign."""
    if kind == "RUN":
        _run(plan, words)
    elif words.peek() == "golden":
        _golden(plan, words)
    else:
        plan.expectations.append(parse_expectation(words, text))


def _golden(plan: Plan, words: Words) -> None:
    words.take("golden")
    at = words.at
    name = words.string("a name").decode() if not words.done else "trace"
    if not _NAME.fullmatch(name):
        raise words.error("a trace's name has letters, digits, and . _ - between them", at)
    at = words.at
    chosen = words.string("a filter").decode() if not words.done else ""
    words.end()
    try:
        Filter(chosen)
    except EmuError as error:
        raise words.error(str(error), at) from None
    plan.goldens.append(Golden(name, chosen, words.where))


def _run(plan: Plan, words: Words) -> None:
    at = words.at
    option = words.word(f"an option: {', '.join(_OPTIONS)}")
    if option not in _OPTIONS:
        raise words.error(f"RUN has no option {option}; there are {', '.join(_OPTIONS)}", at)
    _OPTIONS[option](plan, words)
    words.end()


def _args(plan: Plan, words: Words) -> None:
    while not words.done:
        plan.args.append(words.string("an argument").decode("utf-8", "surrogateescape"))


def _stdin(plan: Plan, words: Words) -> None:
    plan.stdin += words.string("the input")


def _env(plan: Plan, words: Words) -> None:
    name = words.word("NAME=value")
    at = words.at
    if words.done or words.take("=")[1] != "=":
        raise words.error("expected NAME=value", at)
    plan.env[name] = "" if words.done else words.string("a value").decode("utf-8", "surrogateescape")


def _file(plan: Plan, words: Words) -> None:
    at = words.at
    path = words.string("a path").decode("utf-8", "surrogateescape")
    if not path.startswith("/"):
        raise words.error("a path of the guest begins with /", at)
    plan.files[path] = words.string("the content")


def _forks(plan: Plan, words: Words) -> None:
    plan.forks_where = words.where
    plan.forks += _several(words, lambda: _one_of(words, FORK_KINDS))


def _memory(plan: Plan, words: Words) -> None:
    plan.memories += _several(words, lambda: words.number("a size"))


def _seeds(plan: Plan, words: Words) -> None:
    plan.seeds += _several(words, lambda: words.number("a seed"))


def _schedules(plan: Plan, words: Words) -> None:
    at = words.at
    count = words.number("how many schedules")
    if not 1 <= count <= _MOST_VARIANTS:
        raise words.error(f"between 1 and {_MOST_VARIANTS} schedules", at)
    plan.seeds += range(1, count + 1)


def _timeout(plan: Plan, words: Words) -> None:
    at = words.at
    try:
        plan.timeout = float(words.word("seconds"))
    except ValueError:
        raise words.error("expected seconds", at) from None


def _max_insns(plan: Plan, words: Words) -> None:
    plan.max_insns = words.number("a number of instructions")


def _fail(plan: Plan, words: Words) -> None:
    at = words.at
    call = words.word("a system call, or any")
    if call != "any" and call not in syscall_names.values():
        raise words.error(f"no system call is named {call}", at)
    errno = words.number("an errno")
    plan.failures.append((errno, "" if call == "any" else call, 1 if words.done else words.number("which of them")))


def _refuse(plan: Plan, words: Words) -> None:
    plan.refused = words.number("which frame"), -1 if words.done else words.number("how many")


def _check(plan: Plan, words: Words) -> None:
    del words
    plan.check = True


def _exact(plan: Plan, words: Words) -> None:
    del words
    plan.exact = True


def _assembler(plan: Plan, words: Words) -> None:
    plan.assembler = cast(AssemblerName, _one_of(words, ASSEMBLERS))


def _syntax(plan: Plan, words: Words) -> None:
    plan.syntax = _one_of(words, SYNTAXES)


_OPTIONS: Final[dict[str, Callable[[Plan, Words], None]]] = {
    "args": _args, "stdin": _stdin, "env": _env, "file": _file, "fork": _forks, "mem": _memory, "seeds": _seeds,
    "schedules": _schedules, "timeout": _timeout, "max-insns": _max_insns, "fail": _fail, "refuse": _refuse,
    "check": _check, "exact": _exact, "assembler": _assembler, "syntax": _syntax,
}  # fmt: skip


def _several(words: Words, one: Callable[[], T]) -> list[T]:
    found = [one()]
    while not words.done:
        found.append(one())
    return found


def _one_of(words: Words, known: tuple[str, ...]) -> str:
    at = words.at
    word = words.word(" or ".join(known))
    if word not in known:
        raise words.error(f"expected {' or '.join(known)}, not {word}", at)
    return word
