"""ELF64 executables: from file bytes to the list of segments a loader maps.

Pure: it is given a function that reads the file, touches at most the ELF header, the program headers and a
PT_INTERP path, and never allocates what a header merely claims. Everything a loader relies on is checked here, so
that mapping the result needs no checks of its own:

    header       ELF64, little endian, x86-64, ET_EXEC or ET_DYN (a static-pie, mapped at a base of the loader's choice)
    segments     at least one; sorted, disjoint, inside the file and below TASK_SIZE; p_filesz <= p_memsz;
                 p_vaddr and p_offset congruent modulo the page size (unless nothing comes from the file: ld
                 places a segment of only .bss anywhere); neighbours may share a page
    entry point  inside one of the segments

Source: System V gABI chapters 4 and 5, elf(5), Linux fs/binfmt_elf.c (load_elf_binary, load_elf_phdrs).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mini_kernel import x86

#: Reads up to `n` bytes at a file offset: `read(offset, n)`. Short only at the end of the file.
Reader = Callable[[int, int], bytes]

MAGIC: Final = b"\x7fELF"
EHDR_SIZE: Final = 64
PHDR_SIZE: Final = 56
PHNUM_MAX: Final = 65536 // PHDR_SIZE  # Linux load_elf_phdrs: the table fits into 64 KiB
INTERP_MAX: Final = 4096  # Linux PATH_MAX

ET_EXEC: Final = 2
ET_DYN: Final = 3
EM_X86_64: Final = 62
PT_LOAD: Final = 1
PT_INTERP: Final = 3
PT_GNU_STACK: Final = 0x6474_E551
PF_X: Final = 1
PF_W: Final = 2
PF_R: Final = 4

_ET_NAMES: Final = {0: "ET_NONE", 1: "ET_REL (an object file; link it)", 4: "ET_CORE (a core dump)"}
_EM_NAMES: Final = {3: "i386", 40: "ARM", 183: "AArch64", 243: "RISC-V"}


class ElfError(Exception):
    """An ELF file that cannot be loaded. One line: the field, its file offset, what is wrong with it.

    `field` is the name of the header field in elf(5), `offset` its file offset in bytes. execve(2) turns this into
    ENOEXEC; a front end shows the text.
    """

    def __init__(self, field: str, offset: int, message: str) -> None:
        super().__init__(field, offset, message)
        self.field = field
        self.offset = offset
        self.message = message

    def __str__(self) -> str:
        return f"{self.field} at offset {self.offset:#x}: {self.message}"


class ElfType(Enum):
    """e_type of what can be run."""

    EXEC = ET_EXEC  # addresses are absolute
    DYN = ET_DYN  # addresses are relative to a base


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD entry with memsz > 0. Addresses and sizes in bytes; half-open ranges.

    Bytes [vaddr, vaddr + filesz) come from the file at `file_offset`, the rest up to vaddr + memsz is zero.
    """

    vaddr: int
    file_offset: int
    filesz: int
    memsz: int
    flags: int  # PF_R | PF_W | PF_X
    align: int  # p_align, a power of two, at least 1

    @property
    def end(self) -> int:
        """First address behind the segment."""
        return self.vaddr + self.memsz


@dataclass(frozen=True)
class ElfImage:
    """A loadable executable. For ElfType.DYN every address is relative to the base."""

    type: ElfType
    entry: int
    segments: tuple[Segment, ...]  # ascending, disjoint, at least one
    phdr: int  # address of the program headers once loaded (AT_PHDR); 0 when no segment holds them, as in Linux
    phnum: int  # AT_PHNUM
    phentsize: int  # AT_PHENT
    exec_stack: bool  # PT_GNU_STACK with PF_X; false when it is missing (Linux x86-64 since 5.8)

    @property
    def start(self) -> int:
        """Lowest address of the image."""
        return self.segments[0].vaddr

    @property
    def end(self) -> int:
        """First address behind the image: where brk starts after rounding up."""
        return self.segments[-1].end

    @property
    def align(self) -> int:
        """Largest p_align: what the base of an ElfType.DYN must be a multiple of (at least a page)."""
        return max(x86.PAGE_SIZE, *(s.align for s in self.segments))


@dataclass(frozen=True)
class _Ehdr:
    type: ElfType
    entry: int
    phoff: int
    phnum: int


class _Phdr:
    """One program header; knows where its fields are in the file, for messages."""

    _FIELDS: Final = {
        "p_type": 0,
        "p_flags": 4,
        "p_offset": 8,
        "p_vaddr": 16,
        "p_filesz": 32,
        "p_memsz": 40,
        "p_align": 48,
    }

    def __init__(self, raw: bytes, offset: int, index: int) -> None:
        self.at = offset
        self.index = index
        (self.type, self.flags, self.offset, self.vaddr, _, self.filesz, self.memsz, self.align) = struct.unpack(
            "<IIQQQQQQ", raw
        )

    def error(self, field: str, message: str) -> ElfError:
        return ElfError(field, self.at + self._FIELDS[field], f"program header {self.index}: {message}")


def parse(read: Reader, size: int) -> ElfImage:
    """The image in an ELF file of `size` bytes. Raises ElfError for whatever cannot be loaded, nothing else.

    Reads at most 64 + PHNUM_MAX * 56 + INTERP_MAX bytes, whatever the headers say.
    """
    header = _parse_ehdr(_read(read, 0, EHDR_SIZE, size, "e_ident", 0))
    phdrs = _read_phdrs(read, header, size)
    _refuse_interpreter(read, phdrs, size)
    segments = _segments(phdrs, size)
    _check_entry(header, segments)
    return ElfImage(
        type=header.type,
        entry=header.entry,
        segments=segments,
        phdr=_phdr_address(header.phoff, segments),
        phnum=header.phnum,
        phentsize=PHDR_SIZE,
        exec_stack=any(p.type == PT_GNU_STACK and p.flags & PF_X for p in phdrs),
    )


def parse_bytes(data: bytes) -> ElfImage:
    """`parse` for a file held in memory."""
    return parse(lambda offset, n: data[offset : offset + n], len(data))


def _read(read: Reader, offset: int, n: int, size: int, field: str, field_offset: int) -> bytes:
    if offset + n > size:
        raise ElfError(field, field_offset, f"the file is truncated: {n} bytes needed at {offset:#x}, it has {size}")
    data = read(offset, n)
    if len(data) != n:
        raise ElfError(field, field_offset, f"only {len(data)} of {n} bytes at {offset:#x} could be read")
    return data


def _parse_ehdr(raw: bytes) -> _Ehdr:
    _check_ident(raw)
    e_type, e_machine = struct.unpack_from("<HH", raw, 16)
    entry, phoff = struct.unpack_from("<QQ", raw, 24)
    phentsize, phnum = struct.unpack_from("<HH", raw, 54)
    if e_machine != EM_X86_64:
        raise ElfError("e_machine", 18, f"machine {_EM_NAMES.get(e_machine, e_machine)}, not x86-64 ({EM_X86_64})")
    if e_type not in (ET_EXEC, ET_DYN):
        raise ElfError("e_type", 16, f"type {_ET_NAMES.get(e_type, hex(e_type))}, not an executable")
    if phentsize != PHDR_SIZE:
        raise ElfError("e_phentsize", 54, f"program headers of {phentsize} bytes, not {PHDR_SIZE}")
    if not 0 < phnum <= PHNUM_MAX:
        raise ElfError("e_phnum", 56, f"{phnum} program headers, not 1 to {PHNUM_MAX}")
    return _Ehdr(ElfType(e_type), entry, phoff, phnum)


def _check_ident(raw: bytes) -> None:
    if raw[:4] != MAGIC:
        raise ElfError("e_ident", 0, "not an ELF file (no \\x7fELF)")
    if raw[4] != 2:
        what = "32-bit" if raw[4] == 1 else f"class {raw[4]}"
        raise ElfError("EI_CLASS", 4, f"{what}, not ELF64")
    if raw[5] != 1:
        what = "big endian" if raw[5] == 2 else f"encoding {raw[5]}"
        raise ElfError("EI_DATA", 5, f"{what}, not little endian")


def _read_phdrs(read: Reader, header: _Ehdr, size: int) -> list[_Phdr]:
    start, length = header.phoff, header.phnum * PHDR_SIZE
    if start + length > size:
        raise ElfError("e_phoff", 0x20, f"program headers end behind the file ({start + length:#x} > {size:#x})")
    raw = _read(read, start, length, size, "e_phoff", 0x20)
    return [_Phdr(raw[i * PHDR_SIZE : (i + 1) * PHDR_SIZE], start + i * PHDR_SIZE, i) for i in range(header.phnum)]


def _refuse_interpreter(read: Reader, phdrs: list[_Phdr], size: int) -> None:
    for p in phdrs:
        if p.type != PT_INTERP:
            continue
        if not 2 <= p.filesz <= INTERP_MAX:
            raise p.error("p_filesz", f"PT_INTERP path of {p.filesz} bytes, not 2 to {INTERP_MAX}")
        path = _read(read, p.offset, p.filesz, size, "p_offset", p.at + 8).split(b"\0")[0]
        shown = ascii(path.decode("utf-8", "replace"))[1:-1]
        raise p.error("p_type", f"dynamic executables are not supported (interpreter {shown}); link with -static")


def _segments(phdrs: list[_Phdr], size: int) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for p in phdrs:
        if p.type != PT_LOAD:
            continue
        segment = _segment(p, size)
        if segment.memsz == 0:
            continue
        if segments and segment.vaddr < segments[-1].end:
            how = "overlaps" if segment.end > segments[-1].vaddr else "lies below"
            raise p.error("p_vaddr", f"{segment.vaddr:#x} {how} the segment before it (ends at {segments[-1].end:#x})")
        segments.append(segment)
    if not segments:
        raise ElfError("e_phnum", 56, "nothing to load: no PT_LOAD segment with p_memsz > 0")
    return tuple(segments)


def _segment(p: _Phdr, size: int) -> Segment:
    if p.filesz > p.memsz:
        raise p.error("p_filesz", f"larger than p_memsz ({p.filesz:#x} > {p.memsz:#x})")
    if p.filesz and p.offset + p.filesz > size:
        raise p.error("p_offset", f"segment ends behind the file ({p.offset + p.filesz:#x} > {size:#x})")
    if p.vaddr + p.memsz > x86.TASK_SIZE:
        raise p.error("p_vaddr", f"segment ends behind user memory ({p.vaddr + p.memsz:#x} > {x86.TASK_SIZE:#x})")
    if p.filesz and (p.vaddr - p.offset) % x86.PAGE_SIZE:
        raise p.error("p_vaddr", f"{p.vaddr:#x} and p_offset {p.offset:#x} differ modulo the page size")
    if p.align & (p.align - 1) or p.align > x86.TASK_SIZE:
        raise p.error("p_align", f"{p.align:#x} is not a power of two below {x86.TASK_SIZE:#x}")
    return Segment(p.vaddr, p.offset, p.filesz, p.memsz, p.flags & (PF_R | PF_W | PF_X), max(p.align, 1))


def _check_entry(header: _Ehdr, segments: tuple[Segment, ...]) -> None:
    if not any(s.vaddr <= header.entry < s.end for s in segments):
        raise ElfError("e_entry", 0x18, f"entry point {header.entry:#x} is in no segment")


def _phdr_address(phoff: int, segments: tuple[Segment, ...]) -> int:
    for s in segments:
        if s.file_offset <= phoff < s.file_offset + s.filesz:
            return phoff - s.file_offset + s.vaddr
    return 0
