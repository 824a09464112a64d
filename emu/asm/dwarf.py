"""Which line made which instruction, as debuggers read it: the DWARF 4 sections of an assembled program.

One compilation unit with the functions that .type and .size describe, and a line-number program with a sequence for
each run of instructions; data between instructions belongs to no line. DWARF 4 and not 5: every tool reads it.

Source: DWARF Debugging Information Format, version 4: 6.2 line numbers, 7.5 entries, 6.1.2 address ranges.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from emu.asm.image import Image, Line

PRODUCER: Final = "cr3lab"

_EXECUTABLE: Final = 1
_TAG_COMPILE_UNIT, _TAG_SUBPROGRAM = 0x11, 0x2E
_AT_NAME, _AT_STMT_LIST, _AT_LOW_PC, _AT_HIGH_PC, _AT_LANGUAGE = 0x03, 0x10, 0x11, 0x12, 0x13
_AT_COMP_DIR, _AT_PRODUCER, _AT_DECL_FILE, _AT_DECL_LINE, _AT_EXTERNAL = 0x1B, 0x25, 0x3A, 0x3B, 0x3F
_FORM_ADDR, _FORM_DATA2, _FORM_DATA8, _FORM_FLAG, _FORM_STRP, _FORM_UDATA = 0x01, 0x05, 0x07, 0x0C, 0x0E, 0x0F
_FORM_SEC_OFFSET: Final = 0x17
_LANG_ASSEMBLER: Final = 0x8001  # DW_LANG_Mips_Assembler: what every assembler says

_LINE_BASE, _LINE_RANGE, _OPCODE_BASE = -5, 14, 13
_OPERANDS: Final = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))  # of standard opcodes 1 to 12
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE = 1, 2, 3, 4
_END_SEQUENCE: Final = b"\0\x01\x01"
_SET_ADDRESS: Final = b"\0\x09\x02"


@dataclass
class Strings:
    """A string table that hands out offsets; the empty string is at 0."""

    data: bytearray = field(default_factory=lambda: bytearray(b"\0"))

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return at


def debug_sections(image: Image) -> dict[str, bytes]:
    """Section name -> contents; empty when there is no instruction."""
    code = [line for line in image.lines if line.code]
    if not code:
        return {}
    files = {name: number for number, name in enumerate(image.texts(), 1)}
    low = min(s.vaddr for s in image.sections if s.flags & _EXECUTABLE)
    high = max(s.vaddr + s.memsz for s in image.sections if s.flags & _EXECUTABLE)
    strings = Strings()
    return {
        ".debug_line": _line_section(image, code, files),
        ".debug_info": _info_section(image, files, low, high, strings),
        ".debug_abbrev": _ABBREVIATIONS,
        ".debug_aranges": _aranges_section(low, high),
        ".debug_str": bytes(strings.data),
    }


# -- line numbers ------------------------------------------------------------------------------------


def _line_section(image: Image, code: list[Line], files: dict[str, int]) -> bytes:
    no_details = b"\0\0\0"  # directory 0, no time, no size
    names = b"".join(_string(image.paths.get(name, name)) + no_details for name in files)
    numbers = struct.pack("<BBBbBB", 1, 1, 1, _LINE_BASE, _LINE_RANGE, _OPCODE_BASE)
    header = numbers + _OPERANDS + b"\0" + names + b"\0"
    program = b"".join(_sequence(run, files) for run in _runs(code))
    return _unit(struct.pack("<HI", 4, len(header)) + header + program)


def _runs(code: list[Line]) -> Iterator[list[Line]]:
    """The lines in pieces without gaps."""
    run = code[:1]
    for before, line in pairwise(code):
        if before.address + before.length != line.address:
            yield run
            run = []
        run.append(line)
    yield run


def _sequence(run: list[Line], files: dict[str, int]) -> bytes:
    """A row for each line, and the end behind the last."""
    program = bytearray(_SET_ADDRESS + struct.pack("<Q", run[0].address))
    address, file, number = run[0].address, 1, 1  # the state machine's initial registers
    for line in run:
        if files[line.file] != file:
            file = files[line.file]
            program += bytes((_SET_FILE,)) + _unsigned(file)
        program += _advance(line.address - address, line.line - number)
        address, number = line.address, line.line
    program += bytes((_ADVANCE_PC,)) + _unsigned(run[-1].length) + _END_SEQUENCE
    return bytes(program)


def _advance(distance: int, lines: int) -> bytes:
    """A new row: in one byte where that can say it (DWARF 4, 6.2.5.1)."""
    prefix = b""
    if not _LINE_BASE <= lines < _LINE_BASE + _LINE_RANGE:
        prefix = bytes((_ADVANCE_LINE,)) + _signed(lines)
        lines = 0
    opcode = lines - _LINE_BASE + _LINE_RANGE * distance + _OPCODE_BASE
    if opcode < 256:
        return prefix + bytes((opcode,))
    return prefix + bytes((_ADVANCE_PC,)) + _unsigned(distance) + bytes((lines - _LINE_BASE + _OPCODE_BASE,))


# -- encodings ---------------------------------------------------------------------------------------


def _unit(body: bytes) -> bytes:
    """With its length in front: the 32-bit format."""
    return struct.pack("<I", len(body)) + body


def _string(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def _unsigned(value: int) -> bytes:
    """Unsigned LEB128 (DWARF 4, 7.6)."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _signed(value: int) -> bytes:
    """Signed LEB128."""
    encoded = bytearray()
    while not -0x40 <= value < 0x40:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)


# -- the compilation unit ----------------------------------------------------------------------------


def _abbreviation(number: int, tag: int, children: int, *attributes: tuple[int, int]) -> bytes:
    pairs = b"".join(_unsigned(attribute) + _unsigned(form) for attribute, form in attributes)
    return _unsigned(number) + _unsigned(tag) + bytes((children,)) + pairs + b"\0\0"


_UNIT: Final = (
    (_AT_STMT_LIST, _FORM_SEC_OFFSET), (_AT_LOW_PC, _FORM_ADDR), (_AT_HIGH_PC, _FORM_DATA8), (_AT_NAME, _FORM_STRP),
    (_AT_COMP_DIR, _FORM_STRP), (_AT_PRODUCER, _FORM_STRP), (_AT_LANGUAGE, _FORM_DATA2),
)  # fmt: skip
_FUNCTION: Final = (
    (_AT_NAME, _FORM_STRP), (_AT_EXTERNAL, _FORM_FLAG), (_AT_DECL_FILE, _FORM_UDATA), (_AT_DECL_LINE, _FORM_UDATA),
    (_AT_LOW_PC, _FORM_ADDR), (_AT_HIGH_PC, _FORM_DATA8),
)  # fmt: skip
_ABBREVIATIONS: Final = (
    _abbreviation(1, _TAG_COMPILE_UNIT, 1, *_UNIT)
    + _abbreviation(2, _TAG_SUBPROGRAM, 0, *_FUNCTION)
    + _abbreviation(3, _TAG_COMPILE_UNIT, 0, *_UNIT)
    + b"\0"
)


def _info_section(image: Image, files: dict[str, int], low: int, high: int, strings: Strings) -> bytes:
    functions = b"".join(_functions(image, files, strings))
    entry = _unsigned(1 if functions else 3) + struct.pack(
        "<IQQIIIH",
        0,  # the unit's line-number program is the first of .debug_line
        low,
        high - low,  # constant class: how far behind low_pc
        strings.add(image.file),
        strings.add(image.directory) if image.directory else 0,
        strings.add(PRODUCER),
        _LANG_ASSEMBLER,
    )
    return _unit(struct.pack("<HIB", 4, 0, 8) + entry + (functions + b"\0" if functions else b""))


def _functions(image: Image, files: dict[str, int], strings: Strings) -> Iterator[bytes]:
    for name, address in sorted(image.symbols.items(), key=lambda entry: entry[1]):
        size, place = image.sizes.get(name, 0), image.definitions.get(name)
        if image.types.get(name) == "function" and size > 0 and place is not None:
            external = name in image.globals or name == "_start"
            yield (
                _unsigned(2)
                + struct.pack("<IB", strings.add(name), external)
                + _unsigned(files[place.file])
                + _unsigned(place.line)
                + struct.pack("<QQ", address, size)
            )


def _aranges_section(low: int, high: int) -> bytes:
    """The unit's addresses; the tuples start at a multiple of their size."""
    return _unit(struct.pack("<HIBB4x", 2, 0, 8, 0) + struct.pack("<QQQQ", low, high - low, 0, 0))
