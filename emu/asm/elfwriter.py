"""An image as a static ELF executable that Linux runs and that readelf, objdump and gdb read.

    file    ELF header, program headers | each section at a page boundary | .debug_* .symtab .strtab .shstrtab
            | section headers
    memory  the first page holds the headers (so that AT_PHDR is right), then one PT_LOAD per section

Source: System V gABI chapters 4 and 5; elf(5).
"""

import struct
from typing import Final, NamedTuple

from emu.asm.dwarf import Strings, debug_sections
from emu.asm.image import Image

BASE: Final = 0x400000
_PAGE: Final = 4096
_EHDR, _PHDR, _SHDR, _SYM = 64, 56, 64, 24
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474_E551
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_ALLOC, _MERGE, _STRINGS = 2, 0x10, 0x20
_R, _W, _X = 4, 2, 1
_STT: Final = {"": 0, "object": 1, "function": 2}
_STT_FILE, _SHN_ABS = 4, 0xFFF1


def to_elf(image: Image) -> bytes:
    """ELF64 ET_EXEC for x86-64, with symbols and line numbers. Deterministic."""
    count = len(image.sections) + 2
    offsets: list[int] = []
    body = bytearray(_PAGE)
    for section in image.sections:
        offsets.append(len(body))
        body += section.data + bytes(-len(section.data) % _PAGE if section.data else 0)
    rows = [*_loaded(image, offsets), *_unloaded(image)]
    names = Strings()
    table = bytearray(_SHDR)
    for row in [*rows, _Row(".shstrtab", _STRTAB)]:
        name = names.add(row.name)
        data = bytes(names.data) if row.name == ".shstrtab" else row.data
        body += bytes(0 if row.flags & _ALLOC else -len(body) % row.align)
        offset = row.offset or len(body)
        size = row.size or len(data)
        table += struct.pack(
            "<IIQQQQIIQQ",
            name, row.kind, row.flags, row.address, offset, size, row.link, row.info, row.align, row.entry,
        )  # fmt: skip
        body += data
    body += bytes(-len(body) % 8)
    headers = _program_headers(image, offsets, _EHDR + _PHDR * count)
    body[: _EHDR + len(headers)] = _elf_header(image.entry, count, len(body), len(rows) + 2) + headers
    return bytes(body + table)


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


class _Row(NamedTuple):
    """A section header. One with an `offset` has its bytes in the file already; `data` is appended."""

    name: str
    kind: int
    data: bytes = b""
    flags: int = 0
    address: int = 0
    offset: int = 0
    size: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entry: int = 0


def _loaded(image: Image, offsets: list[int]) -> list[_Row]:
    """What is in memory: PROGBITS, or NOBITS where the file has nothing."""
    rows: list[_Row] = []
    for section, offset in zip(image.sections, offsets, strict=True):
        kind = _PROGBITS if section.data else _NOBITS
        flags = _ALLOC | (1 if section.flags & _W else 0) | (4 if section.flags & _X else 0)  # SHF_WRITE, EXECINSTR
        rows.append(_Row(section.name, kind, b"", flags, section.vaddr, offset, section.memsz, align=16))
    return rows


def _unloaded(image: Image) -> list[_Row]:
    """What only debuggers read: line numbers and symbols."""
    rows = [
        _Row(name, _PROGBITS, data, *((_MERGE | _STRINGS,) if name == ".debug_str" else ()))
        for name, data in debug_sections(image).items()
    ]
    strings = Strings()
    symbols, first_global = _symbols(image, strings)
    link = len(image.sections) + len(rows) + 2  # .strtab comes behind .symtab
    rows.append(_Row(".symtab", _SYMTAB, symbols, link=link, info=first_global, align=8, entry=_SYM))
    rows.append(_Row(".strtab", _STRTAB, bytes(strings.data)))
    return [row._replace(entry=1) if row.name == ".debug_str" else row for row in rows]


def _symbols(image: Image, strings: Strings) -> tuple[bytes, int]:
    """The symbol table, the file's name and locals first as the gABI demands, and the index of the first global."""
    names = [n for n in image.symbols if not n.startswith((".L", "..@"))]  # those of GNU as and NASM that are private
    local = [n for n in names if n not in image.globals and n != "_start"]
    rest = [n for n in names if n in image.globals or n == "_start"]
    rows = [bytes(_SYM), struct.pack("<IBBHQQ", strings.add(image.file), _STT_FILE, 0, _SHN_ABS, 0, 0)]
    for binding, group in ((0, local), (1, rest)):
        for name in sorted(group, key=lambda n: (image.symbols[n], n)):
            value = image.symbols[name]
            index = image.section_of(value)
            info = binding << 4 | _STT[image.types.get(name, "")]
            size = max(0, image.sizes.get(name, 0))
            place = _SHN_ABS if index is None else index + 1
            rows.append(struct.pack("<IBBHQQ", strings.add(name), info, 0, place, value, size))
    return b"".join(rows), 2 + len(local)
