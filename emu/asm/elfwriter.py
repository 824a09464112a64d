"""An image as a static ELF executable that Linux runs and that readelf, objdump and gdb read.

    file    ELF header, program headers | each section at a page boundary | .symtab .strtab .shstrtab | section headers
    memory  the first page holds the headers (so that AT_PHDR is right), then one PT_LOAD per section

Source: System V gABI chapters 4 and 5; elf(5).
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from emu.asm.image import Image, Section

BASE: Final = 0x400000
_PAGE: Final = 4096
_EHDR, _PHDR, _SHDR, _SYM = 64, 56, 64, 24
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474_E551
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_R, _W, _X = 4, 2, 1


def to_elf(image: Image) -> bytes:
    """ELF64 ET_EXEC for x86-64, with a symbol table. Deterministic."""
    count = len(image.sections) + 2
    offsets: list[int] = []
    body = bytearray(_PAGE)
    for section in image.sections:
        offsets.append(len(body))
        body += section.data + bytes(-len(section.data) % _PAGE if section.data else 0)
    headers = _program_headers(image, offsets, _EHDR + _PHDR * count)
    tail, sections_at = _tail(image, offsets, len(body))
    body[: _EHDR + len(headers)] = _elf_header(image.entry, count, sections_at, len(image.sections) + 4) + headers
    return bytes(body + tail)


def _elf_header(entry: int, phnum: int, shoff: int, shnum: int) -> bytes:
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # ELF64, little endian, version 1, System V
    return ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, entry, _EHDR, shoff, 0, _EHDR, _PHDR, phnum, _SHDR, shnum, shnum - 1
    )


def _program_header(kind: int, flags: int, offset: int, vaddr: int, filesz: int, memsz: int, align: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, vaddr, filesz, memsz, align)


def _program_headers(image: Image, offsets: list[int], header_size: int) -> bytes:
    rows = [_program_header(_PT_LOAD, _R, 0, BASE, header_size, header_size, _PAGE)]
    for section, offset in zip(image.sections, offsets, strict=True):
        rows.append(
            _program_header(_PT_LOAD, section.flags, offset, section.vaddr, len(section.data), section.memsz, _PAGE)
        )
    rows.append(_program_header(_PT_GNU_STACK, _R | _W, 0, 0, 0, 0, 16))
    return b"".join(rows)


@dataclass
class _Strings:
    """A string table that hands out offsets."""

    data: bytearray = field(default_factory=lambda: bytearray(b"\0"))

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def _tail(image: Image, offsets: list[int], start: int) -> tuple[bytes, int]:
    """Symbol table, string tables and section headers; and the file offset of the last."""
    strings, names = _Strings(), _Strings()
    symbols, first_global = _symbols(image, strings)
    rows = [bytes(_SHDR)]
    for section, offset in zip(image.sections, offsets, strict=True):
        rows.append(_section_header(names.add(section.name), section, offset))
    symtab_at, strtab_at = start, start + len(symbols)
    shstrtab_at = strtab_at + len(strings.data)
    n = len(image.sections)
    name = names.add(".symtab")
    row = (name, _SYMTAB, 0, 0, symtab_at, len(symbols), n + 2, first_global, 8, _SYM)
    rows.append(struct.pack("<IIQQQQIIQQ", *row))
    rows.append(_string_header(names.add(".strtab"), strtab_at, len(strings.data)))
    name = names.add(".shstrtab")
    rows.append(_string_header(name, shstrtab_at, len(names.data)))
    data = symbols + bytes(strings.data) + bytes(names.data)
    data += bytes(-(start + len(data)) % 8)
    return data + b"".join(rows), start + len(data)


def _section_header(name: int, section: Section, offset: int) -> bytes:
    kind = _PROGBITS if section.data else _NOBITS
    flags = 2 | (1 if section.flags & _W else 0) | (4 if section.flags & _X else 0)  # SHF_ALLOC, WRITE, EXECINSTR
    return struct.pack("<IIQQQQIIQQ", name, kind, flags, section.vaddr, offset, section.memsz, 0, 0, 16, 0)


def _string_header(name: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, _STRTAB, 0, 0, offset, size, 0, 0, 1, 0)


def _symbols(image: Image, strings: _Strings) -> tuple[bytes, int]:
    """The symbol table, locals first as the gABI demands, and the index of the first global."""
    names = [n for n in image.symbols if not n.startswith(".L")]
    local = [n for n in names if n not in image.globals and n != "_start"]
    rest = [n for n in names if n in image.globals or n == "_start"]
    rows = [bytes(_SYM)]
    for binding, group in ((0, local), (1, rest)):
        for name in sorted(group, key=lambda n: (image.symbols[n], n)):
            value = image.symbols[name]
            index = _section_index(image, value)
            rows.append(struct.pack("<IBBHQQ", strings.add(name), binding << 4, 0, index, value, 0))
    return b"".join(rows), 1 + len(local)


def _section_index(image: Image, address: int) -> int:
    """1-based index of the section with `address`; a label at the very end still belongs to its section."""
    for index, section in enumerate(image.sections, 1):
        if section.vaddr <= address < section.vaddr + section.memsz:
            return index
    ends = [i for i, s in enumerate(image.sections, 1) if address == s.vaddr + s.memsz]
    return ends[0] if ends else 0xFFF1  # SHN_ABS
