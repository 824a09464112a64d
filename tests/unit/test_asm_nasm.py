"""emu.asm's NASM dialect against nasm: the same source must give the same bytes at the same addresses.

Skipped by name when nasm or binutils is not installed.
"""

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asm_nasm_corpus import DATA, INSTRUCTIONS, PREPROCESSOR

from emu import disasm
from emu.asm import AsmError, Assembler, Image
from emu.program import load_program

needs_nasm = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("nasm", "ld", "objcopy")),
    reason="nasm or binutils (ld, objcopy) is not installed",
)


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def theirs(source: str, image: Image, directory: Path) -> dict[str, bytes]:
    """Section contents by nasm and ld, at the addresses of `image`."""
    (directory / "a.asm").write_text(source + "\n")
    starts = [f"--section-start={s.name}={s.vaddr:#x}" for s in image.sections]
    subprocess.run(["nasm", "-w-all", "-f", "elf64", "-o", "a.o", "a.asm"], cwd=directory, check=True)
    subprocess.run(["ld", "-static", *starts, "-o", "a.out", "a.o"], cwd=directory, check=True)
    found: dict[str, bytes] = {}
    for section in image.sections:
        if section.data:
            command = ["objcopy", "-O", "binary", "-j", section.name, "a.out", "s.bin"]
            subprocess.run(command, cwd=directory, check=True)
            found[section.name] = (directory / "s.bin").read_bytes()
    return found


def compare(assembler: Assembler, source: str, directory: Path) -> None:
    """Every line's bytes, then whole sections."""
    image = assembler.assemble(source, "t.asm", syntax="nasm")
    expected = theirs(source, image, directory)
    rows = source.split("\n")
    differing = [
        f"{rows[line.line - 1]}   ours: {ours.hex(' ')}   nasm: {data.hex(' ')}"
        for section in image.sections
        for line in image.lines
        if section.data and section.vaddr <= line.address < section.vaddr + section.memsz
        for ours in [image.at(line.address, line.length)]
        for data in [expected[section.name][line.address - section.vaddr :][: line.length]]
        if ours != data
    ]
    assert differing == []
    assert {s.name: s.data for s in image.sections if s.data} == expected


def code(assembler: Assembler, text: str) -> str:
    """The bytes of .text in hexadecimal."""
    image = assembler.assemble(text, "t.asm", syntax="nasm")
    return next(s.data for s in image.sections if s.name == ".text").hex(" ")


def mistakes(assembler: Assembler, text: str) -> list[str]:
    """`line:col message` of every mistake."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble(text, "t.asm", syntax="nasm")
    return [f"{e.line}:{e.column} {e.message}" for e in caught.value.errors]


@needs_nasm
def test_every_instruction_form_is_encoded_as_nasm_does(assembler: Assembler, tmp_path: Path) -> None:
    """Instructions, operands, sizes of constants and addresses, numbers in all spellings, byte for byte."""
    compare(assembler, INSTRUCTIONS, tmp_path)


@needs_nasm
def test_data_labels_and_sections_are_those_of_nasm(assembler: Assembler, tmp_path: Path) -> None:
    """Strings, numbers of all widths, times, alignment, $ and $$, local labels, attributes of sections."""
    compare(assembler, DATA, tmp_path)


@needs_nasm
def test_the_preprocessor_is_that_of_nasm(assembler: Assembler, tmp_path: Path) -> None:
    """Single-line macros, macros of several lines, repetitions, conditions, strings and structures."""
    compare(assembler, PREPROCESSOR, tmp_path)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("mov eax, SYS_write", "b8 01 00 00 00"),
        ("mov eax, PROT_READ | PROT_WRITE", "b8 03 00 00 00"),
        ("SYS_write equ 7\nmov eax, SYS_write", "b8 07 00 00 00"),
        ("mov eax, dword ptr [rdi]", "8b 07"),
        ("lock\ninc dword [rdi]", "f0 ff 07"),
        ("call f wrt ..plt\nf: ret", "e8 00 00 00 00 c3"),
        ("%define NAME 5 ; five\nmov eax, NAME", "b8 05 00 00 00"),
        ("nop\r\nnop\r\n", "90 90"),
    ],
)
def test_spellings_beyond_the_corpus(assembler: Assembler, text: str, data: str) -> None:
    """Names of the system interface, prefixes on lines of their own, `ptr`, which NASM ignores."""
    assert code(assembler, text) == data


def test_sections_have_rights_of_their_own(assembler: Assembler) -> None:
    """Code R-X, constants R--, data RW-, zeros RW- without bytes; local labels go by their full names."""
    source = "section .bss\nz: resb 5000\nsection .data\nd: dq 1\nsection .rodata\nr: db 2\n"
    image = assembler.assemble(source + "section .text\nglobal _start\n_start:\n.loop: nop\n", "t.asm", syntax="nasm")
    assert [(s.name, s.vaddr, len(s.data), s.memsz, s.flags) for s in image.sections] == [
        (".text", 0x401000, 1, 1, 5),
        (".rodata", 0x402000, 1, 1, 4),
        (".data", 0x403000, 8, 8, 6),
        (".bss", 0x404000, 0, 5000, 6),
    ]
    assert image.symbols == {"z": 0x404000, "d": 0x403000, "r": 0x402000, "_start": 0x401000, "_start.loop": 0x401000}
    assert image.globals == {"_start"}


def test_external_names_are_those_of_the_library(assembler: Assembler) -> None:
    """`extern` brings in the file of userland/include that defines the name, once, whatever syntax asks."""
    nasm = assembler.assemble(
        "extern sfork_mmap, sfork_shm\n_start: call sfork_mmap\ncall sfork_shm", "t.asm", syntax="nasm"
    )
    gnu = assembler.assemble('_start: call sfork_mmap\ncall sfork_shm\n.include "sfork.inc"', "t.asm")
    assert [s.data for s in nasm.sections] == [s.data for s in gnu.sections]
    asked = assembler.assemble(".extern sfork_mmap, sfork_shm\n_start: call sfork_mmap\ncall sfork_shm", "t.asm")
    assert [s.data for s in asked.sections] == [s.data for s in gnu.sections]
    assert "sfork_mmap" not in assembler.assemble("extern sfork_mmap\nsfork_mmap: nop", "t.asm", syntax="nasm").includes


def test_a_file_that_is_included_stands_in_its_place(assembler: Assembler, tmp_path: Path) -> None:
    """From the program's own directory; its mistakes name it and the line that includes it."""
    (tmp_path / "a.inc").write_text("%define FIVE 5\nnop\nmov eax, [\n")
    path = tmp_path / "main.asm"
    with pytest.raises(AsmError) as caught:
        assembler.assemble('%include "a.inc"\nmov eax, FIVE', "dir/main.asm", syntax="nasm", path=str(path))
    assert str(caught.value) == (
        "dir/a.inc:3:11: error: a value expected\n    mov eax, [\n              ^\ndir/main.asm:1: included here"
    )
    (tmp_path / "a.inc").write_text("%define FIVE 5\nnop\n")
    image = assembler.assemble('%include "a.inc"\nmov eax, FIVE', "main.asm", syntax="nasm", path=str(path))
    assert image.sections[0].data.hex() == "90b805000000"


def test_a_file_called_nasm_is_nasm_source(assembler: Assembler, tmp_path: Path) -> None:
    """Nothing else has to be said; other names are GNU source."""
    path = tmp_path / "p.nasm"
    path.write_text("_start: mov rax, 10h\n")
    image = load_program(str(path), worker=assembler).image
    assert image is not None
    assert image.sections[0].data.hex() == "b810000000"
    path.rename(tmp_path / "p.asm")
    with pytest.raises(AsmError):
        load_program(str(tmp_path / "p.asm"), worker=assembler)


def test_expansions_are_bounded(assembler: Assembler) -> None:
    """Macros that use themselves or each other without end, in one line or in many: one error."""
    assert mistakes(assembler, "%macro m 0\nnop\nm\n%endmacro\nm\nfrob") == [
        "3:1 files, blocks and macros are nested more than 120 deep"
    ]
    doubling = "".join(f"%macro m{n} 0\nm{n + 1}\nm{n + 1}\n%endmacro\n" for n in range(40)) + "%macro m40 0\n%endmacro"
    assert [m.partition(" makes")[0] for m in mistakes(assembler, doubling + "\nm0\nfrob")] == ["151:1 macro m38"]
    lines = "".join(f"%define d{n} d{n + 1} d{n + 1}\n" for n in range(40))
    assert mistakes(assembler, lines + "db d0\nfrob") == ["41:1 the macros of this line make more than 64 KiB of text"]
    assert [m[:8] for m in mistakes(assembler, "times 99999999 inc eax\nfrob")] == ["1:7 times"[:8]]
    assert len(mistakes(assembler, "%rep 99999999\nnop\n%endrep\nfrob")) == 1
    assert code(assembler, "%define a b\n%define b a\na: jmp a\n") == "eb fe"


def test_mutated_lines_get_an_image_or_errors_with_lines(assembler: Assembler) -> None:
    """2,000 typos in good lines: every answer is an Image or an AsmError that names a line."""
    rng = random.Random(11)
    alphabet = "abcrx0123456789[](){}%$*+-,:;.#\"'`/\\ \t@=<>|&^~!é"
    lines = [line for text in (INSTRUCTIONS, DATA, PREPROCESSOR) for line in text.split("\n") if line.strip()]
    refused = 0
    for _ in range(2000):
        line = rng.choice(lines)
        at = rng.randrange(len(line))
        line = line[:at] + rng.choice(("", rng.choice(alphabet))) + line[at + rng.randrange(2) :]
        source = f"msg: nop\n{line}\nlast: nop"
        try:
            assembler.assemble(source, "t.asm", syntax="nasm")
        except AsmError as error:
            refused += 1
            assert {e.line for e in error.errors} <= {1, 2, 3}
            assert all(e.message.isprintable() for e in error.errors)
    assert 400 < refused < 1900
