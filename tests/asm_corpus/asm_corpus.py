"""Many independent instructions through an assembler, one answer for each."""

import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

from asm_shapes import source_of

from emu import disasm
from emu.asm import Assembler, Syntax
from emu.asm.errors import AsmError

SHAPES: Final = Path(__file__).parent / "shapes.txt"  # written by generate.py
CHUNK: Final = 48  # lines of a source: fewer than the mistakes that are reported of one


@cache
def shapes() -> dict[str, bytes]:
    """The corpus: source (Intel syntax) -> bytes by GNU as."""
    rows = (line.split("\t") for line in SHAPES.read_text().splitlines())
    return {source: bytes.fromhex(data) for source, data in rows}


def ours(assembler: Assembler, lines: Sequence[str], syntax: Syntax = "intel") -> list[bytes | str]:
    """The bytes of each line, or the message that refuses it."""
    found: list[bytes | str] = []
    for at in range(0, len(lines), CHUNK):
        found += _chunk(assembler, lines[at : at + CHUNK], syntax)
    return found


def _chunk(assembler: Assembler, lines: Sequence[str], syntax: Syntax) -> list[bytes | str]:
    """Assembles; takes out the lines with mistakes, and again, until none has any."""
    answers: dict[int, bytes | str] = {}
    while len(answers) < len(lines):
        left = [(n, line) for n, line in enumerate(lines) if n not in answers]
        try:
            image = assembler.assemble("\n".join(line for _, line in left), "corpus.s", syntax=syntax)
        except AsmError as mistakes:
            for mistake in mistakes.errors:
                answers[left[mistake.line - 1][0]] = mistake.message
            continue
        for row in image.lines:
            n = left[row.line - 1][0]
            data = answers.get(n, b"")
            assert isinstance(data, bytes)
            answers[n] = data + image.at(row.address, row.length)
    return [answers[n] for n in range(len(lines))]


def gnu(lines: Sequence[str], syntax: Syntax, directory: Path) -> list[bytes | str]:
    """What GNU as makes of each line: bytes, or its message."""
    messages: dict[int, str] = {}
    while True:
        left = [n for n in range(len(lines)) if n not in messages]
        source = directory / "corpus.s"
        prefix = ".intel_syntax noprefix\n" if syntax == "intel" else "\n"
        source.write_text(prefix + "".join(f"L{n}: {lines[n]}\n" for n in left) + f"L{len(lines)}:\n")
        command = ["as", "-o", "corpus.o", "corpus.s"]
        run = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return _sections(directory, left, messages, len(lines))
        for line in run.stderr.splitlines():
            _, number, text = [*line.split(":", 2), "", ""][:3]
            if number.isdigit() and "Error" in text:
                messages[left[int(number) - 2]] = text.strip()


def _sections(directory: Path, left: Iterable[int], messages: dict[int, str], count: int) -> list[bytes | str]:
    run = subprocess.run(["nm", "-n", "corpus.o"], cwd=directory, capture_output=True, text=True, check=True)
    places = {int(f[2][1:]): int(f[0], 16) for f in (row.split() for row in run.stdout.splitlines())}
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", "corpus.o", "corpus.bin"], cwd=directory, check=True)
    code = (directory / "corpus.bin").read_bytes()
    order = [*left, count]
    spans = {n: code[places[n] : places[after]] for n, after in pairwise(order)}
    return [spans.get(n) or messages[n] for n in range(count)]


class Answers(NamedTuple):
    """Sources, and for each the bytes of GNU as and our answer."""

    sources: Sequence[str]
    theirs: Sequence[bytes | str]
    ours: Sequence[bytes | str]


class Verdict(NamedTuple):
    source: str
    kind: Literal["same", "equal", "wrong", "refused"]  # equal: other bytes, the same disassembly
    found: bytes | str


def verdicts(answers: Answers) -> list[Verdict]:
    """What became of each line that GNU as takes."""
    rows = zip(answers.sources, answers.theirs, answers.ours, strict=True)
    return [Verdict(source, _kind(theirs, found), found) for source, theirs, found in rows if isinstance(theirs, bytes)]


def _kind(theirs: bytes, found: bytes | str) -> Literal["same", "equal", "wrong", "refused"]:
    if isinstance(found, str):
        return "refused"
    if found == theirs:
        return "same"
    a, b = disasm.one(theirs, 0), disasm.one(found, 0)
    whole = a is not None and b is not None and (a.size, b.size) == (len(theirs), len(found)) and a.text == b.text
    return "equal" if whole and b"\x0f\x18" not in found else "wrong"  # Capstone calls hints of later CPUs nop


def att_forms(codes: Sequence[bytes], directory: Path) -> list[str]:
    """The instructions as objdump writes them in AT&T syntax, each once."""
    rows = "".join(f".byte {','.join(map(str, code))}\n" for code in codes)
    (directory / "att.s").write_text(rows)
    subprocess.run(["as", "-o", "att.o", "att.s"], cwd=directory, check=True)
    command = ["objdump", "-d", "-w", "--insn-width=15", "att.o"]
    run = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    fields = [f for f in (row.split("\t") for row in run.stdout.splitlines()) if len(f) >= 3]
    found = (source_of(f[2], len(f[1].split())) for f in fields)
    return list(dict.fromkeys(source for source in found if source is not None))
