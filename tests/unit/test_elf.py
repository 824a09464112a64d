"""mini_kernel.elf: what loads, what is refused and with which words, and that nothing a file says can hurt."""

import random
import struct
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_kernel import elf, x86
from mini_kernel.elf import ElfError, ElfImage, ElfType, Segment

R, W, X = elf.PF_R, elf.PF_W, elf.PF_X


@dataclass(frozen=True)
class Ph:
    """A program header with sane defaults."""

    type: int = elf.PT_LOAD
    flags: int = R | X
    offset: int = 0
    vaddr: int = 0x400000
    filesz: int = 0x1000
    memsz: int = 0x1000
    align: int = 0x1000

    def pack(self) -> bytes:
        return struct.pack(
            "<IIQQQQQQ", self.type, self.flags, self.offset, self.vaddr, self.vaddr, self.filesz, self.memsz, self.align
        )


TEXT = Ph()
DATA = Ph(flags=R | W, offset=0x1000, vaddr=0x401000, filesz=0x800, memsz=0x3000)


def build(*phdrs: Ph, e_type: int = 2, entry: int = 0x400100, size: int = 0x1800, phnum: int | None = None) -> bytes:
    """An ELF file of `size` bytes with these program headers behind its header."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    count = len(phdrs) if phnum is None else phnum
    head += struct.pack("<HHIQQQIHHHHHH", e_type, 62, 1, entry, 64, 0, 0, 64, 56, count, 0, 0, 0)
    return (head + b"".join(p.pack() for p in phdrs)).ljust(size, b"\0")


def refused(data: bytes) -> str:
    with pytest.raises(ElfError) as caught:
        elf.parse_bytes(data)
    return str(caught.value)


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def test_a_plain_executable_gives_its_whole_image() -> None:
    """Every field of the image is what the headers say."""
    assert elf.parse_bytes(build(TEXT, DATA)) == ElfImage(
        type=ElfType.EXEC,
        entry=0x400100,
        segments=(
            Segment(0x400000, 0, 0x1000, 0x1000, R | X, 0x1000),
            Segment(0x401000, 0x1000, 0x800, 0x3000, R | W, 0x1000),
        ),
        phdr=0x400040,
        phnum=2,
        phentsize=56,
        exec_stack=False,
    )


def test_a_static_pie_is_relative_to_its_base() -> None:
    """ET_DYN without PT_INTERP loads; addresses start at 0 and align covers the largest p_align."""
    image = elf.parse_bytes(build(replace(TEXT, vaddr=0, align=0x200000), e_type=3, entry=0x100))
    assert (image.type, image.start, image.end, image.align) == (ElfType.DYN, 0, 0x1000, 0x200000)


@pytest.mark.parametrize(("flags", "expected"), [(R | W, False), (R | W | X, True)])
def test_gnu_stack_says_whether_the_stack_is_executable(flags: int, expected: bool) -> None:
    """PT_GNU_STACK with PF_X asks for an executable stack."""
    stack = Ph(type=elf.PT_GNU_STACK, flags=flags, filesz=0, memsz=0)
    assert elf.parse_bytes(build(TEXT, stack)).exec_stack is expected


def test_phdr_is_zero_when_no_segment_holds_the_headers() -> None:
    """AT_PHDR is 0 in that case, as in Linux."""
    text = Ph(offset=0x1000, vaddr=0x401000, filesz=0x800, memsz=0x800)
    assert elf.parse_bytes(build(text, entry=0x401000)).phdr == 0


def test_a_segment_of_only_bss_may_name_any_offset() -> None:
    """With p_filesz 0 nothing is read, so p_offset is not checked; empty segments are left out."""
    bss = Ph(flags=R | W, offset=0x123456, vaddr=0x402010, filesz=0, memsz=0x10)
    empty = Ph(vaddr=0, filesz=0, memsz=0)
    image = elf.parse_bytes(build(TEXT, bss, empty))
    assert [s.vaddr for s in image.segments] == [0x400000, 0x402010]


HIGH = x86.TASK_SIZE - 0x800

BAD_HEADERS: list[tuple[int, bytes, str]] = [
    (0, b"\x7fELG", "e_ident at offset 0x0: not an ELF file"),
    (4, b"\x01", "EI_CLASS at offset 0x4: 32-bit, not ELF64"),
    (5, b"\x02", "EI_DATA at offset 0x5: big endian, not little endian"),
    (16, b"\x01\0", "e_type at offset 0x10: type ET_REL (an object file; link it), not an executable"),
    (16, b"\x04\0", "e_type at offset 0x10: type ET_CORE (a core dump), not an executable"),
    (18, b"\xb7\0", "e_machine at offset 0x12: machine AArch64, not x86-64 (62)"),
    (24, b"\xff" * 8, "e_entry at offset 0x18: entry point 0xffffffffffffffff is in no segment"),
    (32, b"\xff" * 8, "e_phoff at offset 0x20: program headers end behind the file (0x1000000000000006f > 0x1800)"),
    (54, b"\x20\0", "e_phentsize at offset 0x36: program headers of 32 bytes, not 56"),
    (56, b"\0\0", "e_phnum at offset 0x38: 0 program headers, not 1 to 1170"),
    (56, b"\xff\xff", "e_phnum at offset 0x38: 65535 program headers, not 1 to 1170"),
    (56, b"\x92\x04", "e_phoff at offset 0x20: program headers end behind the file (0x10030 > 0x1800)"),
]


@pytest.mark.parametrize(("offset", "value", "message"), BAD_HEADERS, ids=[m.split(":")[0] for _, _, m in BAD_HEADERS])
def test_a_bad_elf_header_is_named(offset: int, value: bytes, message: str) -> None:
    """The message names the field, its file offset and what is wrong."""
    assert refused(patched(build(TEXT, DATA), offset, value)).startswith(message)


BAD_SEGMENTS: list[tuple[str, tuple[Ph, ...], str]] = [
    ("none", (replace(TEXT, type=4),), "e_phnum at offset 0x38: nothing to load"),
    ("filesz", (replace(TEXT, memsz=0xFFF),), "p_filesz at offset 0x60: program header 0: larger than p_memsz"),
    ("behind", (TEXT, replace(DATA, offset=0x2000)), "p_offset at offset 0x80: program header 1: segment ends behind"),
    ("wraps", (TEXT, replace(DATA, offset=2**64 - 0x1000)), "p_offset at offset 0x80: program header 1: segment ends"),
    (
        "high",
        (TEXT, replace(DATA, vaddr=HIGH & ~0xFFF)),
        "p_vaddr at offset 0x88: program header 1: segment ends behind",
    ),
    ("huge", (TEXT, replace(DATA, memsz=2**64 - 1)), "p_vaddr at offset 0x88: program header 1: segment ends behind"),
    ("congruence", (TEXT, replace(DATA, vaddr=0x401010)), "p_vaddr at offset 0x88: program header 1: 0x401010 and"),
    ("align", (replace(TEXT, align=0x1001),), "p_align at offset 0x70: program header 0: 0x1001 is not a power of two"),
    ("big align", (replace(TEXT, align=2**63),), "p_align at offset 0x70: program header 0: 0x8000000000000000 is not"),
    ("overlap", (TEXT, replace(DATA, vaddr=0x400000)), "p_vaddr at offset 0x88: program header 1: 0x400000 overlaps"),
    ("unsorted", (DATA, TEXT), "p_vaddr at offset 0x88: program header 1: 0x400000 lies below"),
]


@pytest.mark.parametrize(("phdrs", "message"), [c[1:] for c in BAD_SEGMENTS], ids=[c[0] for c in BAD_SEGMENTS])
def test_a_bad_segment_is_named(phdrs: tuple[Ph, ...], message: str) -> None:
    """The message names the program header and the field, its file offset and what is wrong."""
    assert refused(build(*phdrs)).startswith(message)


def test_a_dynamic_executable_names_its_interpreter() -> None:
    """PT_INTERP is refused with the path and what to do about it."""
    path = b"/lib64/ld-linux-x86-64.so.2\0"
    data = patched(build(replace(TEXT, type=elf.PT_INTERP, offset=0x200, filesz=len(path)), TEXT), 0x200, path)
    assert refused(data) == (
        "p_type at offset 0x40: program header 0: dynamic executables are not supported "
        "(interpreter /lib64/ld-linux-x86-64.so.2); link with -static"
    )


def test_an_interpreter_path_cannot_smuggle_control_characters() -> None:
    """The message stays one printable line."""
    data = patched(build(replace(TEXT, type=elf.PT_INTERP, offset=0x200, filesz=8), TEXT), 0x200, b"\x1b[2J\nx\xff\0")
    assert refused(data).isprintable()


@pytest.mark.parametrize("size", [0, 1, 4, 63, 64, 100, 175, 0x17FF])
def test_every_truncation_is_refused(size: int) -> None:
    """A file cut anywhere does not load."""
    assert "\n" not in refused(build(TEXT, DATA)[:size])


def test_a_reader_that_fails_short_is_an_elf_error() -> None:
    """A file that shrank while it was read is reported, not an index error."""
    with pytest.raises(ElfError, match="only 0 of 64 bytes"):
        elf.parse(lambda _offset, _n: b"", 0x1800)


class CountingReader:
    """Serves bytes and records how much was asked for at once and in all."""

    def __init__(self, data: bytes) -> None:
        self.data, self.total = data, 0

    def __call__(self, offset: int, n: int) -> bytes:
        assert offset >= 0 and offset + n <= len(self.data)
        self.total += n
        return self.data[offset : offset + n]


def sound(image: ElfImage, size: int) -> bool:
    """What the module promises a loader."""
    ends = [0, *(s.end for s in image.segments)]
    return all(
        s.vaddr >= before and 0 <= s.filesz <= s.memsz and s.memsz > 0 and s.end <= x86.TASK_SIZE
        and (not s.filesz or (s.file_offset + s.filesz <= size and (s.vaddr - s.file_offset) % 4096 == 0))
        for before, s in zip(ends, image.segments, strict=False)
    ) and any(s.vaddr <= image.entry < s.end for s in image.segments)  # fmt: skip


def answers(data: bytes) -> bool:
    """True if `data` loads; checks that the answer is an ElfImage that keeps its promises or an ElfError."""
    reader = CountingReader(data)
    try:
        image = elf.parse(reader, len(data))
    except ElfError as error:
        assert str(error).isprintable()
        return False
    finally:
        assert reader.total <= 64 + elf.PHNUM_MAX * 56 + elf.INTERP_MAX
    assert sound(image, len(data))
    return True


def test_mutated_headers_get_an_image_or_an_error() -> None:
    """5,000 mutants of a good file's headers: each answers within the limits, and both answers occur."""
    rng = random.Random(1)
    stack = Ph(type=elf.PT_GNU_STACK, flags=R | W, filesz=0, memsz=0)
    good = build(TEXT, DATA, stack)
    edges = [b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0\x10" + bytes(6), b"\1", b"\xff\xff", b"\3\0\0\0"]
    loaded = 0
    for _ in range(5000):
        data = good
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(64 + 3 * 56)
            data = patched(data, at, rng.choice([bytes([rng.randrange(256)]), rng.choice(edges)]))
        loaded += answers(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
    assert 100 < loaded < 4900


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_behind_a_magic_get_an_answer(tail: bytes) -> None:
    """Arbitrary bytes never raise anything but ElfError."""
    answers(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62) + tail)
