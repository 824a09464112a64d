"""Names and source lines out of an ELF file with .symtab and DWARF, for reports: read when something is to be shown.

A file may say anything, and what is wrong with it must not hide what happened to the program: whatever cannot be read
is as good as missing.
"""

import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from elftools.dwarf.lineprogram import LineProgram
from elftools.elf.elffile import ELFFile

from emu.cfi import CallFrames, Section
from mini_kernel.x86 import TASK_SIZE

MAX_SEARCHED: Final = 1 << 20  # bytes of .debug_line that are searched where no table of addresses leads on
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC = 0, 1, 2
_UNSIZED: Final = 4096  # how far a label without a size reaches, where its section does not end before
_SHF_ALLOC: Final = 2


class Row(NamedTuple):
    """The instructions in [start, end) come from line `line` of `file`, in the directory of the compilation."""

    start: int
    end: int
    file: str
    line: int
    directory: str


class ElfTables:
    """What an executable tells of itself. Empty for one that is stripped, position-independent or damaged."""

    def __init__(self, data: bytes) -> None:
        self._tables: dict[int, list[Row]] = {}  # by offset of a compilation unit
        self._elf: ELFFile | None = None
        try:
            elf = ELFFile(io.BytesIO(data))
            if elf.elfclass == 64 and elf.little_endian and elf["e_type"] == "ET_EXEC":
                self._elf = elf
        except Exception:  # see above: pyelftools raises many things
            self._elf = None

    @cached_property
    def names(self) -> dict[int, tuple[str, int]]:
        """Address -> (name, end). Of several names for an address: functions first, then globals, then others."""
        try:
            found = sorted(self._symbols())
        except Exception:
            return {}
        names: dict[int, tuple[str, int]] = {}
        for _rank, address, end, name in found:
            names.setdefault(address, (name, end))
        return names

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Every name, also of several for one address. Of several addresses with one name: as above."""
        try:
            found = sorted(self._symbols(), reverse=True)
        except Exception:
            return {}
        return {name: address for _rank, address, _end, name in found}

    def _symbols(self) -> Iterator[tuple[tuple[int, int], int, int, str]]:
        """(rank, address, end, name) of every label, function and object."""
        if self._elf is None:
            return
        sections: list[Any] = list(self._elf.iter_sections())
        ends: list[int] = [s["sh_addr"] + s["sh_size"] if s["sh_flags"] & _SHF_ALLOC else 0 for s in sections]
        for table in sections:
            if table["sh_type"] != "SHT_SYMTAB":
                continue
            strings: bytes = sections[table["sh_link"]].data()
            data: bytes = table.data()
            whole = data[: len(data) // _SYMBOL.size * _SYMBOL.size]
            entries: Iterator[tuple[int, int, int, int, int, int]] = _SYMBOL.iter_unpack(whole)
            for name, info, _other, section, value, size in entries:
                kind, binding = info & 15, info >> 4
                if kind > _STT_FUNC or not name or not 0 < value < TASK_SIZE or not 0 < section < 0xFF00:
                    continue
                limit: int = (ends[section] if section < len(ends) else 0) or TASK_SIZE
                end = value + size if size else min(value + _UNSIZED, limit)
                if size or kind == _STT_NOTYPE:
                    text = strings[name : strings.index(b"\0", name)].decode("utf-8", "replace")
                    yield (-kind, -binding), value, end, text

    @cached_property
    def call_frames(self) -> CallFrames:
        """What its functions' frames look like."""
        try:
            return CallFrames(self._frame_sections())
        except Exception:
            return CallFrames()

    def _frame_sections(self) -> Iterator[Section]:
        for name in (".eh_frame", ".debug_frame"):
            section: Any = self._elf.get_section_by_name(name) if self._elf is not None else None
            if section is not None and section["sh_type"] != "SHT_NOBITS":
                yield Section(section["sh_addr"], section.data(), name == ".eh_frame")

    def row(self, address: int) -> Row | None:
        """The line table's row for the instruction at `address`."""
        try:
            return next((row for table in self._candidates(address) if (row := _find(table, address))), None)
        except Exception:
            return None

    def rows(self) -> list[Row]:
        """The whole line table, as far as it can be read."""
        try:
            dwarf = self._dwarf
            return [row for unit in dwarf.iter_CUs() for row in self._table(unit)] if dwarf is not None else []
        except Exception:
            return []

    def lines_from(self, file: str, line: int) -> dict[int, int]:
        """The first instructions of lines of a file from one on, by line; "" is the first file that has such a line."""
        found: dict[int, int] = {}
        chosen = file
        try:
            for row in self._rows_from(file, line):
                chosen = chosen or row.file
                if row.file == chosen or file:
                    found[row.line] = min(row.start, found.get(row.line, row.start))
        except Exception:
            return found
        return found

    def _rows_from(self, file: str, line: int) -> Iterator[Row]:
        dwarf = self._dwarf
        for unit in dwarf.iter_CUs() if dwarf is not None else ():
            for row in self._table(unit):
                if row.line >= line and (not file or row.file == file or row.file.endswith("/" + file)):
                    yield row

    def _candidates(self, address: int) -> Iterator[list[Row]]:
        """The line tables that may know `address`: that of the unit .debug_aranges names, else all."""
        dwarf = self._dwarf
        if dwarf is None:
            return
        ranges: Any = dwarf.get_aranges()
        offset = ranges.cu_offset_at_addr(address) if ranges else None
        if offset is not None:
            yield self._table(dwarf.get_CU_at(offset))
        elif dwarf.debug_line_sec is not None and dwarf.debug_line_sec.size <= MAX_SEARCHED:
            for unit in dwarf.iter_CUs():
                yield self._table(unit)

    @cached_property
    def _dwarf(self) -> Any:
        if self._elf is None or not self._elf.has_dwarf_info(strict=True):
            return None
        return self._elf.get_dwarf_info(follow_links=False)

    def _table(self, unit: Any) -> list[Row]:
        if unit.cu_offset not in self._tables:
            program = self._dwarf.line_program_for_CU(unit)
            attribute = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
            directory = _text(attribute.value) if attribute else ""
            self._tables[unit.cu_offset] = _merged(sorted(_rows(program, directory))) if program else []
        return self._tables[unit.cu_offset]


def _rows(program: LineProgram, directory: str) -> Iterator[Row]:
    before: Any = None
    files: dict[int, str] = {}
    for entry in program.get_entries():
        state: Any = entry.state
        if state is None:
            continue
        if before is not None and before.address < state.address:
            if before.file not in files:
                files[before.file] = _file(program.header, before.file, directory)
            yield Row(before.address, state.address, files[before.file], before.line, directory)
        before = None if state.end_sequence else state


def _merged(rows: list[Row]) -> list[Row]:
    """Neighbours from one line as one: a compiler begins a row for every statement and every view of one."""
    merged: list[Row] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last is not None and row == last._replace(start=last.end, end=row.end):
            merged[-1] = last._replace(end=row.end)
        else:
            merged.append(row)
    return merged


def _file(header: Any, number: int, compilation: str) -> str:
    """A file's name, with its directory unless that is the compilation's (DWARF 5 counts both from 0, 4 from 1)."""
    name = _full_name(header, number)
    return name.removeprefix(os.path.join(compilation, "")) if compilation else name


def _full_name(header: Any, number: int) -> str:
    entry = header["file_entry"][number if header["version"] >= 5 else number - 1]
    name, index = _text(entry.name), entry.dir_index
    if not index:
        return name
    directory = _text(header["include_directory"][index if header["version"] >= 5 else index - 1])
    return os.path.join(directory, name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _find(table: list[Row], address: int) -> Row | None:
    i = bisect_right(table, address, key=lambda row: row.start) - 1
    return table[i] if i >= 0 and address < table[i].end and table[i].line else None
