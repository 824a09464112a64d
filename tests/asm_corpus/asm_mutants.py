"""Sources with mistakes: real programs with one typo each, and lines of random tokens; a seed gives always the same."""

import random
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from asm_corpus import shapes

from mini_kernel import uapi

ROOT: Final = Path(__file__).parents[2]
_PUNCTUATION: Final = ":,[]()*+-'\"%$#@!;\\{}=.&|<>~?"
_DIGITS_TOO_MANY: Final = "0x11223344556677889"
_WORDS: Final = (
    *("mov", "add", "push", "lea", "jmp", "call", "movsd", "rep", "lock", "movabs", "xchg", "nop", "vaddps", "fld"),
    *("rax", "eax", "al", "ah", "r8b", "xmm0", "ymm1", "rip", "fs", "st", "cr3", "rsp", "%rax", "$5", "(%rdi)"),
    *("byte", "qword", "ptr", "offset", "short", "far", "rel", "xmmword", "dup", "flat"),
    *(".byte", ".quad", ".text", ".data", ".section", ".align", ".fill", ".rept", ".endr", ".macro", ".endm", ".if"),
    *(".endif", ".equ", ".ascii", ".asciz", ".include", ".incbin", ".org", ".set", ".att_syntax", ".intel_syntax"),
    *("db", "dq", "section", "equ", "times", "%define", "%macro", "resb", "x", "_start", "1b", "1f", "loop", ".x"),
    *("0", "1", "-1", "0x7fffffff", "0xffffffffffffffff", _DIGITS_TOO_MANY, "10h", "08", "1.5", "'x'", '"x"', '"'),
    *_PUNCTUATION,
)


class Source(NamedTuple):
    name: str  # what was done to what
    text: str


#: Files of emu/bench/programs that are programs only together with others.
_PARTS: Final = ("common", "cpu", "cpu_raw", "sfork")


def programs() -> dict[str, str]:
    """Real programs that assemble, by name: the examples, and the benchmarks' guests with what their drivers add."""
    folder = ROOT / "emu/bench/programs"
    common = (folder / "common.asm").read_text()
    found = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("*.asm"))}
    for path in sorted(folder.glob("*.asm")):
        if path.stem not in _PARTS:
            text = path.read_text() if path.stem.endswith("_raw") else f"{path.read_text()}\n{common}"
            found[path.name] = text + _parameters(text)
    return found


def _parameters(text: str) -> str:
    """Values for the names in capitals that a benchmark's driver defines."""
    code = re.sub(r"#.*", "", text)
    names = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code)) - set(uapi.constants())
    defined = set(re.findall(r"\.equ (\w+)|^(\w+):", code, re.M))
    missing = names - {name for pair in defined for name in pair}
    return "".join(f"\n.equ {name}, 8" for name in sorted(missing))


def typos(count: int, seed: int) -> Iterator[Source]:
    """`count` real programs with one typo each; many of them are still right."""
    rng = random.Random(seed)
    real = programs()
    for number in range(count):
        name = rng.choice(list(real))
        lines = real[name].split("\n")
        at = rng.choice(
            [n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(("#", ";"))]
        )
        lines[at] = _typo(rng, lines[at])
        yield Source(f"typo {number} of seed {seed}: {name}:{at + 1}: {lines[at]!r}", "\n".join(lines))


def _typo(rng: random.Random, line: str) -> str:
    at = rng.randrange(len(line))
    words = line.split(" ")
    word = rng.randrange(len(words))
    kind = rng.randrange(10)
    if kind < 2:
        return line[:at] + line[at + 1 :]
    if kind == 2:
        return line[:at] + line[at] + line[at:]
    if kind == 3:
        return line[:at] + line[at + 1 : at + 2] + line[at] + line[at + 2 :]
    if kind < 6:
        return line[:at] + rng.choice(_PUNCTUATION) + line[at + rng.randrange(2) :]
    if kind == 6:
        return line[:at] + rng.choice(string.ascii_lowercase + string.digits) + line[at + 1 :]
    if kind == 7:
        return " ".join(words[:word] + words[word + 1 :])
    if kind == 8:
        return " ".join([*words[:word], rng.choice(_WORDS), *words[word + 1 :]])
    return " ".join([*words[: word + 1], *words[word:]])


def soups(count: int, seed: int) -> Iterator[Source]:
    """`count` short sources of random tokens; every third has instructions of the corpus in between."""
    rng = random.Random(seed)
    real = list(shapes())
    for number in range(count):
        lines = [_soup(rng) for _ in range(rng.randint(1, 8))]
        if number % 3 == 0:
            lines = [line for soup in lines for line in (rng.choice(real), soup)]
        text = "\n".join(lines)
        yield Source(f"soup {number} of seed {seed}: {text!r}", text)


def _soup(rng: random.Random) -> str:
    return rng.choice((" ", "", ", ")).join(rng.choice(_WORDS) for _ in range(rng.randint(1, 10)))
