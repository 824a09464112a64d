"""Blocks and edges as lines, functions and branches of the sources."""

import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emu import disasm
from emu.coverage.collect import Counts
from emu.elf_symbols import ElfTables
from emu.program import Program
from emu.symbols import Symbols
from mini_kernel.elf import parse_bytes

_CONDITIONAL: Final = ("j", "loop")
_ALWAYS: Final = ("jmp",)


class Row(NamedTuple):
    """Instructions [start, end) of a line."""

    start: int
    end: int
    file: str
    line: int


class Branch(NamedTuple):
    """A conditional jump that was reached: how often it was taken, and how often it was not."""

    line: int
    address: int
    taken: int
    passed: int


@dataclass
class Covered:
    """One source file: how often each line that has code was run, and the same of functions; branches reached."""

    file: str
    lines: dict[int, int] = field(default_factory=dict[int, int])
    functions: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])  # line, count
    branches: list[Branch] = field(default_factory=list[Branch])


def covered(program: Program, counts: Counts) -> list[Covered]:
    """By source file. Programs without a line table have none."""
    rows = sorted(_rows(program))
    starts = [row.start for row in rows]
    runs = _Runs(counts)
    files: dict[str, Covered] = {}
    for row in rows:
        found = files.setdefault(row.file, Covered(row.file))
        found.lines[row.line] = max(found.lines.get(row.line, 0), runs.at(row.start))

    def row_of(address: int) -> Row | None:
        i = bisect_right(starts, address) - 1
        return rows[i] if i >= 0 and address < rows[i].end else None

    for address, (name, _end) in Symbols.of(program).names.items():
        row = row_of(address)
        if row is not None:
            files[row.file].functions.setdefault(name, (row.line, runs.at(address)))
    for branch, address in _branches(program, counts):
        row = row_of(address)
        if row is not None:
            files[row.file].branches.append(branch._replace(line=row.line))
    return [files[name] for name in sorted(files)]


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


def _branches(program: Program, counts: Counts) -> Iterator[tuple[Branch, int]]:
    """Conditional jumps at the ends of blocks that were run."""
    code = _Code(program.data)
    followers: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (end, following), count in counts.edges.items():
        followers[end][following] = count
    seen: set[int] = set()
    for address, size in sorted(counts.blocks):
        end = address + size
        last = code.last(address, size)
        if last is None or last.address in seen:
            continue
        word = last.mnemonic.split()[-1]
        if not word.startswith(_CONDITIONAL) or word in _ALWAYS or not last.operands or last.operands[0].kind != "imm":
            continue
        seen.add(last.address)
        target = last.operands[0].imm & (1 << 64) - 1
        yield Branch(0, last.address, followers[end].get(target, 0), followers[end].get(end, 0)), last.address


class _Code:
    """The code of a program file by address."""

    def __init__(self, data: bytes) -> None:
        self._parts = [(s.vaddr, data[s.file_offset : s.file_offset + s.filesz]) for s in parse_bytes(data).segments]

    def last(self, address: int, size: int) -> disasm.Instruction | None:
        """The last instruction of a block."""
        for start, data in self._parts:
            if start <= address < start + len(data):
                return _last(data[address - start : address - start + size], address)
        return None


def _last(data: bytes, address: int) -> disasm.Instruction | None:
    found: disasm.Instruction | None = None
    at = 0
    while at < len(data):
        instruction = disasm.one(data[at : at + disasm.MAX_INSTRUCTION], address + at)
        if instruction is None:
            return None
        found, at = instruction, at + instruction.size
    return found


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
