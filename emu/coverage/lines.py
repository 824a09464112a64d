"""Blocks and edges as lines, functions and branches of the sources.

What there is to cover comes from the program file alone: all its lines, functions and conditional jumps, also of code
that nobody ran.
"""

import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emu import disasm
from emu.coverage.collect import Counts
from emu.elf_symbols import ElfTables
from emu.program import Program
from emu.symbols import Symbols
from mini_kernel.elf import parse_bytes

_CONDITIONAL: Final = ("j", "loop")
_ALWAYS: Final = ("jmp", "ljmp")
_SYSTEM: Final = ("/usr/include/", "/usr/local/include/", "/usr/lib/")  # headers; nobody covers those by tests


class Row(NamedTuple):
    """Instructions [start, end) of a line."""

    start: int
    end: int
    file: str
    line: int


class Branch(NamedTuple):
    """A conditional jump: whether it was ever reached, how often it was taken, and how often it was not.

    `number` counts the jumps of its line, from 0.
    """

    line: int
    number: int
    reached: bool
    taken: int
    passed: int


@dataclass
class Covered:
    """One source file: how often each line that has code was run, and the same of functions; all branches."""

    file: str
    lines: dict[int, int] = field(default_factory=dict[int, int])
    functions: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])  # line, count
    branches: list[Branch] = field(default_factory=list[Branch])

    def add(self, other: "Covered") -> None:
        """What other programs that have the same file did there."""
        for line, count in other.lines.items():
            self.lines[line] = self.lines.get(line, 0) + count
        for name, (line, count) in other.functions.items():
            self.functions[name] = line, self.functions.get(name, (line, 0))[1] + count
        known = {(branch.line, branch.number): branch for branch in self.branches}
        for b in other.branches:
            old = known.get((b.line, b.number), Branch(b.line, b.number, False, 0, 0))
            reached = b.reached or old.reached
            known[b.line, b.number] = Branch(b.line, b.number, reached, b.taken + old.taken, b.passed + old.passed)
        self.branches = [known[key] for key in sorted(known)]


class _Jump(NamedTuple):
    """A conditional jump of the program, at [address, end)."""

    address: int
    end: int
    target: int
    row: Row
    number: int


class Code:
    """What of a program can be covered: nothing, where there is no line table."""

    def __init__(self, program: Program) -> None:
        self._rows = sorted(row for row in _rows(program) if not row.file.startswith(_SYSTEM))
        self._starts = [row.start for row in self._rows]
        self._jumps: list[_Jump] = []
        called = set(self._read(program.data)) if self._rows else set[int]()
        self._functions = [
            (name, address, row)
            for address, name in _functions(program, called)
            if (row := self._row_of(address)) is not None
        ]

    def _row_of(self, address: int) -> Row | None:
        i = bisect_right(self._starts, address) - 1
        return self._rows[i] if i >= 0 and address < self._rows[i].end else None

    def _read(self, data: bytes) -> Iterator[int]:
        """Note the conditional jumps; what is called."""
        numbers: defaultdict[tuple[str, int], int] = defaultdict(int)
        for row, instruction in _instructions(self._rows, data):
            word = instruction.mnemonic.split()[-1]
            target = _target(instruction)
            if target is None:
                continue
            if word == "call":
                yield target
            elif word.startswith(_CONDITIONAL) and word not in _ALWAYS:
                place = row.file, row.line
                self._jumps.append(_Jump(instruction.address, instruction.end, target, row, numbers[place]))
                numbers[place] += 1

    def covered(self, counts: Counts) -> list[Covered]:
        """What was, by source file."""
        runs = _Runs(counts)
        files: dict[str, Covered] = {}
        for row in self._rows:
            found = files.setdefault(row.file, Covered(row.file))
            found.lines[row.line] = max(found.lines.get(row.line, 0), runs.at(row.start))
        for name, address, row in self._functions:
            files[row.file].functions.setdefault(name, (row.line, runs.at(address)))
        edges = counts.edges
        for address, end, target, row, number in self._jumps:
            reached = runs.at(address) > 0
            branch = Branch(row.line, number, reached, edges.get((end, target), 0), edges.get((end, end), 0))
            files[row.file].branches.append(branch)
        return [files[name] for name in sorted(files)]


def covered(program: Program, counts: Counts) -> list[Covered]:
    """By source file. Programs without a line table have none."""
    return Code(program).covered(counts)


def merged(files: Iterable[Covered]) -> list[Covered]:
    """Each source file once, whatever programs it is part of."""
    found: dict[str, Covered] = {}
    for file in files:
        found.setdefault(file.file, Covered(file.file)).add(file)
    return [found[name] for name in sorted(found)]


def _rows(program: Program) -> Iterator[Row]:
    if program.image is not None:
        image = program.image
        for line in image.lines:
            if line.code and line.length:
                path = image.paths.get(line.file, line.file)
                yield Row(line.address, line.address + line.length, _full(image.directory, path), line.line)
        return
    for row in ElfTables(program.data).rows():
        if row.start < row.end:
            yield Row(row.start, row.end, _full(row.directory, row.file), row.line)


def _full(directory: str, file: str) -> str:
    return os.path.normpath(os.path.join(directory, file)) if directory else file


class _Runs:
    """How often the instruction at an address was run: the sum of the blocks that hold it."""

    def __init__(self, counts: Counts) -> None:
        changes: defaultdict[int, int] = defaultdict(int)
        for (address, size), count in counts.blocks.items():
            changes[address] += count
            changes[address + size] -= count
        self._at = sorted(changes)
        self._sums: list[int] = []
        total = 0
        for address in self._at:
            total += changes[address]
            self._sums.append(total)

    def at(self, address: int) -> int:
        """The count."""
        i = bisect_right(self._at, address) - 1
        return self._sums[i] if i >= 0 else 0


def _functions(program: Program, called: set[int]) -> Iterator[tuple[int, str]]:
    """Addresses and names. Of the labels of an assembled program those that are called, entered first, or said to be.

    A compiler's symbols are functions all.
    """
    image = program.image
    known = (
        set[str]() if image is None else image.globals | {n for n, kind in image.types.items() if kind == "function"}
    )
    for address, (name, _end) in Symbols.of(program).names.items():
        if image is None or address == image.entry or address in called or name in known:
            yield address, name


def _instructions(rows: Sequence[Row], data: bytes) -> Iterator[tuple[Row, disasm.Instruction]]:
    """Those of all rows; of a row up to the first bytes that are none."""
    parts = [(s.vaddr, data[s.file_offset : s.file_offset + s.filesz]) for s in parse_bytes(data).segments]
    for row in rows:
        for start, code in parts:
            if start <= row.start < start + len(code):
                piece = code[row.start - start : row.end - start]
                yield from ((row, instruction) for instruction in disasm.many(piece, row.start).instructions)


def _target(instruction: disasm.Instruction) -> int | None:
    """Where a direct jump or call goes."""
    operands = instruction.operands
    return operands[0].imm & (1 << 64) - 1 if operands and operands[0].kind == "imm" else None


def summary(files: list[Covered]) -> list[str]:
    """A table: lines, functions and branches by file, and in all."""
    rows = [("file", "lines", "functions", "branches")]
    sums = [[0, 0], [0, 0], [0, 0]]
    for file in files:
        parts = [
            (sum(1 for count in file.lines.values() if count), len(file.lines)),
            (sum(1 for _line, count in file.functions.values() if count), len(file.functions)),
            (sum((b.taken > 0) + (b.passed > 0) for b in file.branches), 2 * len(file.branches)),
        ]
        for total, part in zip(sums, parts, strict=True):
            total[0] += part[0]
            total[1] += part[1]
        rows.append((_short(file.file), _share(parts[0]), _share(parts[1]), _share(parts[2])))
    rows.append(("all", _share(sums[0]), _share(sums[1]), _share(sums[2])))
    width = max(len(row[0]) for row in rows)
    return [f"{row[0]:<{width}}  {row[1]:>16}  {row[2]:>16}  {row[3]:>16}" for row in rows]


def _share(part: Sequence[int]) -> str:
    hit, found = part
    return f"{hit}/{found} {100 * hit // found:>3}%" if found else "-"


def _short(path: str) -> str:
    here = os.getcwd().rstrip("/") + "/"
    return path.removeprefix(here)
