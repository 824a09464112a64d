"""Which label an address belongs to, and which source line made the instruction there."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from emu.program import Program
from mini_kernel.x86 import TASK_SIZE

_ET_EXEC: Final = 2
_SHT_SYMTAB: Final = 2
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC = 0, 1, 2
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


class SourceLine(NamedTuple):
    """Where an instruction was written. Lines count from 1."""

    file: str
    line: int
    text: str


class Symbols:
    """The names of one program. Build with `of`; empty for a stripped or position-independent one."""

    def __init__(self, names: dict[int, tuple[str, int]], program: Program) -> None:
        """`names`: address -> (name, end); an address at or behind `end` is outside."""
        self._names = names
        self._starts = sorted(names)
        self._lines = program.image.lines if program.image else ()
        self._line_starts = [line.address for line in self._lines]
        self._texts = program.image.texts() if program.image else {}

    @classmethod
    def of(cls, program: Program) -> "Symbols":
        """Those of an assembled program, else what the ELF file's symbol table tells."""
        return cls(_image_names(program) if program.image else dict(_elf_names(program.data)), program)

    def name(self, address: int) -> str | None:
        """`label`, `label+0x12`, or None where no label reaches."""
        i = bisect_right(self._starts, address) - 1
        if i < 0:
            return None
        start = self._starts[i]
        name, end = self._names[start]
        if address >= end:
            return None
        return f"{name}+{address - start:#x}" if address > start else name

    def line(self, address: int) -> SourceLine | None:
        """The source line whose bytes include `address`."""
        i = bisect_right(self._line_starts, address) - 1
        if i < 0 or address >= self._lines[i].address + max(1, self._lines[i].length):
            return None
        line = self._lines[i]
        rows = self._texts.get(line.file, [])
        return SourceLine(line.file, line.line, rows[line.line - 1].strip() if line.line <= len(rows) else "")

    def addresses(self) -> dict[str, int]:
        """Every name with its address."""
        return {name: address for address, (name, _end) in self._names.items()}


def _image_names(program: Program) -> dict[int, tuple[str, int]]:
    """A label reaches to the end of its section; the first of several at one address wins, globals before others."""
    image = program.image
    assert image is not None
    names: dict[int, tuple[str, int]] = {}
    for name, address in sorted(image.symbols.items(), key=lambda entry: entry[0] not in image.globals):
        end = next((s.vaddr + s.memsz for s in image.sections if s.vaddr <= address < s.vaddr + s.memsz), None)
        if end is not None:
            names.setdefault(address, (name, end))
    return names


def _elf_names(data: bytes) -> Iterator[tuple[int, tuple[str, int]]]:
    """(address, (name, end)) of the functions and objects in .symtab; nothing when anything is out of order."""
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 16)[0] != _ET_EXEC:
        return
    table, size, count = struct.unpack_from("<Q10xHH", data, 40)
    if size != _SECTION.size or table + size * count > len(data):
        return
    sections = [_SECTION.unpack_from(data, table + size * i) for i in range(count)]
    for _name, kind, _flags, _addr, offset, length, link, *_rest in sections:
        if kind == _SHT_SYMTAB and link < count and offset + length <= len(data):
            strings = data[sections[link][4] : sections[link][4] + sections[link][5]]
            yield from _symbols(data[offset : offset + length], strings)


def _symbols(table: bytes, strings: bytes) -> Iterator[tuple[int, tuple[str, int]]]:
    whole = len(table) - len(table) % _SYMBOL.size
    for name, info, _other, _section, value, size in _SYMBOL.iter_unpack(table[:whole]):
        if info & 15 in (_STT_NOTYPE, _STT_OBJECT, _STT_FUNC) and name and 0 < value < TASK_SIZE:
            end = strings.find(b"\0", name)
            text = strings[name : end if end >= 0 else name].decode("utf-8", "replace")
            if size or info & 15 == _STT_NOTYPE:
                yield value, (text, value + (size or 4096))
