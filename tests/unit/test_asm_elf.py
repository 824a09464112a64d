"""emu.asm.elfwriter, emu.asm.external and emu.program: from source to an executable, and that Linux runs it."""

import io
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile

from emu import program
from emu.asm import AsmError, external, to_elf
from emu.errors import EmuError, ProgramError
from emu.program import load_program, new_assembler
from mini_kernel import elf

HELLO = """
.rodata
text: .ascii "hello\\n"
length = . - text
.text
_start:
    mov eax, SYS_write
    mov edi, 1
    lea rsi, [rip + text]
    mov edx, length
    syscall
    mov rax, [zeros]
    mov [rip + zeros + 8], rax
    lea edi, [rax + 42]
    mov eax, SYS_exit
    syscall
.bss
zeros: .skip 10000
"""

needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="runs the program natively: needs x86-64 Linux"
)


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if not shutil.which(tool)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def run(data: bytes, directory: Path) -> tuple[int, bytes]:
    path = directory / "program"
    path.write_bytes(data)
    path.chmod(0o755)
    done = subprocess.run([str(path)], capture_output=True, check=False, timeout=30)
    return done.returncode, done.stdout


def hello(directory: Path) -> program.Program:
    path = directory / "hello.asm"
    path.write_text(HELLO)
    return load_program(str(path))


@needs_linux
def test_an_assembled_program_runs_on_linux(tmp_path: Path) -> None:
    """Text, constants and zeroed memory are where the code expects them."""
    assert run(hello(tmp_path).data, tmp_path) == (42, b"hello\n")


def test_our_own_loader_accepts_the_file_and_sees_the_sections(tmp_path: Path) -> None:
    """A segment per section plus the headers, page aligned, and AT_PHDR inside the first."""
    made = hello(tmp_path)
    assert made.image is not None
    image = elf.parse_bytes(made.data)
    assert [(s.vaddr, s.filesz, s.memsz, s.flags) for s in image.segments[1:]] == [
        (s.vaddr, len(s.data), s.memsz, s.flags) for s in made.image.sections
    ]
    assert (image.entry, image.phdr, image.exec_stack) == (made.image.entry, 0x400040, False)
    for segment, section in zip(image.segments[1:], made.image.sections, strict=True):
        assert made.data[segment.file_offset :][: segment.filesz] == section.data


@needs("readelf")
def test_readelf_has_no_complaint_and_knows_the_symbols(tmp_path: Path) -> None:
    """Section headers and symbol table are as the gABI wants them: locals first, each with its section."""
    (tmp_path / "p").write_bytes(hello(tmp_path).data)
    done = subprocess.run(["readelf", "-aW", str(tmp_path / "p")], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    rows = [row.split() for row in done.stdout.split("\n")]
    symbols = {row[7]: (row[4], row[6]) for row in rows if len(row) == 8 and row[3] == "NOTYPE"}
    assert symbols == {"_start": ("GLOBAL", "1"), "text": ("LOCAL", "2"), "zeros": ("LOCAL", "3")}


def test_symbols_have_the_types_and_sizes_that_the_source_gives(tmp_path: Path) -> None:
    """.type and .size in the spellings of GNU as; the file's name first; private labels are left out."""
    source = """
    .type f, @function
    .type g, %function
    .type table, "object"
    .type plain, STT_NOTYPE
    f: ret
    .Lprivate: ret
    .size f, . - f
    .globl g
    _start: plain: g: nop
    .size g, 1
    .data
    table: .quad 1, 2
    .size table, . - table
    """
    (tmp_path / "t.s").write_text(source)
    table = ELFFile(io.BytesIO(load_program(str(tmp_path / "t.s")).data)).get_section_by_name(".symtab")
    found = {
        s.name: (s["st_info"]["type"][4:], s["st_info"]["bind"][4:], s["st_size"], s["st_shndx"])
        for s in table.iter_symbols()
    }
    assert list(found) == ["", str(tmp_path / "t.s"), "f", "plain", "table", "_start", "g"]
    assert found[str(tmp_path / "t.s")] == ("FILE", "LOCAL", 0, "SHN_ABS")
    assert found["f"] == ("FUNC", "LOCAL", 2, 1)
    assert found["g"] == ("FUNC", "GLOBAL", 1, 1)
    assert found["table"] == ("OBJECT", "LOCAL", 16, 2)
    assert found["plain"] == ("NOTYPE", "LOCAL", 0, 1)


@pytest.mark.parametrize("line", [".type f", ".type f, @nonsense", ".size f", ".size f, nowhere"])
def test_a_wrong_type_or_size_is_an_error(line: str) -> None:
    """Rather than something else in the symbol table."""
    with new_assembler() as assembler, pytest.raises(AsmError):
        assembler.assemble(f"f: nop\n{line}\n", "t.s")


def test_no_segment_can_be_written_and_run(tmp_path: Path) -> None:
    """Code, constants and data each with rights of their own, on pages of their own; the stack cannot be run."""
    (tmp_path / "t.s").write_text(HELLO + ".data\n.quad 1\n")
    made = ELFFile(io.BytesIO(load_program(str(tmp_path / "t.s")).data))
    segments = [(s["p_type"], s["p_flags"], s["p_vaddr"] % s["p_align"]) for s in made.iter_segments()]
    assert segments == [
        ("PT_LOAD", 4, 0), ("PT_LOAD", 5, 0), ("PT_LOAD", 4, 0), ("PT_LOAD", 6, 0), ("PT_LOAD", 6, 0),
        ("PT_GNU_STACK", 6, 0),
    ]  # fmt: skip


@needs("objdump")
def test_objdump_disassembles_what_was_written(tmp_path: Path) -> None:
    """The code section is found and named."""
    (tmp_path / "p").write_bytes(hello(tmp_path).data)
    done = subprocess.run(["objdump", "-d", str(tmp_path / "p")], capture_output=True, text=True, check=True)
    assert "<_start>:" in done.stdout
    assert done.stdout.count("syscall") == 2


def test_many_sections_still_fit_the_headers(tmp_path: Path) -> None:
    """The most sections a file may have make a loadable ELF; one more is an error."""
    text = "_start: nop\n" + "\n".join(f'.section s{n},"a"\n.byte {n}' for n in range(59))
    with new_assembler() as assembler:
        assert len(elf.parse_bytes(to_elf(assembler.assemble(text, "t.s"))).segments) == 61
        with pytest.raises(AsmError, match="more than 60 sections"):
            assembler.assemble(text + '\n.section s59,"a"', "t.s")


@needs_linux
@needs("as", "ld")
def test_gas_and_keystone_programs_behave_alike(tmp_path: Path) -> None:
    """The other back end, with the same constants by name, also where the source defines one itself."""
    path = tmp_path / "hello.s"
    path.write_text("SYS_write = 1\n" + HELLO.replace(".rodata", ".section .rodata").replace("[zeros]", "zeros"))
    ours, theirs = load_program(str(path)), load_program(str(path), assembler="gas")
    assert theirs.image is None
    assert run(ours.data, tmp_path) == run(theirs.data, tmp_path)


@needs("as", "ld")
def test_gas_errors_carry_file_and_line() -> None:
    """Lines are those of the file, not of what as was given."""
    with pytest.raises(AsmError) as caught:
        external.gas("nop\nfrob rax\nnop\nmov rax, [[\n", "dir/x.s")
    assert {(e.file, e.line) for e in caught.value.errors} == {("dir/x.s", 2), ("dir/x.s", 4)}


@needs_linux
@needs("nasm", "ld")
def test_nasm_source_runs(tmp_path: Path) -> None:
    """NASM syntax by NASM itself."""
    text = "section .text\nglobal _start\n_start: mov eax, SYS_exit\n mov edi, SEVEN\nSEVEN equ 7\n\n syscall\n"
    assert run(external.nasm(text, "x.asm"), tmp_path) == (7, b"")
    with pytest.raises(AsmError) as caught:
        external.nasm(text + " frob eax\n", "x.asm")
    assert [(e.file, e.line) for e in caught.value.errors] == [("x.asm", 8)]


@needs("as", "ld")
def test_gas_errors_show_the_line_also_of_an_included_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`file:line: error: message` and the line; names are those that emu.asm uses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "part.inc").write_text("nop\n    frob rbx\n")
    (tmp_path / "src" / "x.s").write_text('.include "part.inc"\n  mov rax, [[\n')
    with pytest.raises(AsmError) as caught:
        load_program("src/x.s", assembler="gas")
    assert [str(e) for e in caught.value.errors if e.file == "src/part.inc"] == [
        "src/part.inc:2: error: no such instruction: `frob rbx'\n        frob rbx"
    ]
    assert {(e.file, e.line, e.source) for e in caught.value.errors} >= {("src/x.s", 2, "  mov rax, [[")}


@needs("as", "ld")
def test_gas_finds_the_library_and_the_entry(tmp_path: Path) -> None:
    """`.include "lab.inc"`, `.rodata`, constants by name, and a _start that is neither global nor first."""
    (tmp_path / "x.s").write_text(
        '.include "lab.inc"\nnop\nhlt\n_start: print "hi"\nmov edi, [rip + n]\nexit rdi\n.rodata\nn: .long SYS_getpid\n'
    )
    assert run(load_program(str(tmp_path / "x.s"), assembler="gas").data, tmp_path) == (39, b"hi")


@needs("as", "ld")
def test_warnings_of_the_tools_are_handed_on() -> None:
    """A line each; the program is made all the same."""
    told: list[str] = []
    data = external.gas("_start: nop\n.byte 300\n", "dir/x.s", warn=told.append)
    assert data.startswith(b"\x7fELF")
    assert told == ["dir/x.s:2: warning: value 0x12c truncated to 0x2c"]


@needs("as", "ld")
def test_what_gas_makes_has_lines_and_no_stack_to_run() -> None:
    """DWARF by the name of our file, and PT_GNU_STACK without execute."""
    made = ELFFile(io.BytesIO(external.gas("_start: nop\n", "dir/x.s")))
    (unit,) = made.get_dwarf_info().iter_CUs()
    assert unit.get_top_DIE().attributes["DW_AT_name"].value == b"dir/x.s"
    assert [s["p_flags"] for s in made.iter_segments() if s["p_type"] == "PT_GNU_STACK"] == [6]


@needs_linux
@needs("nasm", "as", "ld")
def test_nasm_links_the_functions_that_are_external(tmp_path: Path) -> None:
    """The library is in GNU syntax: as assembles it, ld joins the two."""
    text = "extern lab_exit\nsection .text\n_start: mov edi, 9\n call lab_exit\n"
    assert run(external.nasm(text, "x.asm"), tmp_path) == (9, b"")


@needs("nasm")
def test_nasm_errors_name_the_file_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nasm is given the whole path, for its DWARF; included files are found beside the source."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "part.inc").write_text("frob ecx\n")
    (tmp_path / "src" / "x.asm").write_text('%include "part.inc"\n  frob eax\n')
    with pytest.raises(AsmError) as caught:
        load_program("src/x.asm", assembler="nasm")
    assert [(e.file, e.line, e.source) for e in caught.value.errors] == [
        ("src/part.inc", 1, "frob ecx"), ("src/x.asm", 2, "  frob eax"),
    ]  # fmt: skip


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An EmuError with the package that has it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EmuError, match=r"^as is not installed \(Debian package binutils\)$"):
        external.gas("nop", "x.s")
    with pytest.raises(EmuError, match=r"^nasm is not installed \(Debian package nasm\)$"):
        external.nasm("nop", "x.asm")


def test_source_comes_from_stdin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is source, with <stdin> as its name in errors; an ELF file there is taken as it is."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"nop\n")))
    made = load_program("-")
    assert (made.name, made.path, made.data[:4]) == ("<stdin>", "", b"\x7fELF")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"frob\n")))
    with pytest.raises(AsmError, match=r"^<stdin>:1:1: error: "):
        load_program("-")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(made.data)))
    assert load_program("-").data == made.data


def test_elf_files_and_scripts_pass_unchanged(tmp_path: Path) -> None:
    """They are for execve, which knows both; the suffix does not matter."""
    for name, data in (("a.out", b"\x7fELFxyz"), ("script.s", b"#!/bin/sh\n")):
        (tmp_path / name).write_bytes(data)
        made = load_program(str(tmp_path / name))
        assert (made.name, made.path, made.data, made.image) == (name, str(tmp_path / name), data, None)


def test_what_is_no_program_is_refused_in_one_line(tmp_path: Path) -> None:
    """Not found, a directory, a device, text, and source with a NUL byte."""
    (tmp_path / "notes.txt").write_text("nop\n")
    (tmp_path / "bad.s").write_bytes(b"nop\n\0\n")
    os.mkfifo(tmp_path / "pipe.s")
    cases = {
        "missing.s": "cannot be read: No such file or directory",
        ".": "is a directory",
        "pipe.s": "is not a regular file",
        "notes.txt": "neither an ELF file, a #! script nor source (.asm, .nasm, .s, .S)",
        "bad.s": "is not text: a NUL byte in the source",
    }
    for name, message in cases.items():
        with pytest.raises(ProgramError) as caught:
            load_program(str(tmp_path / name))
        assert caught.value.message == message
        assert str(caught.value).startswith(f"{tmp_path / name}:")
    with pytest.raises(ProgramError, match="cannot be read"):
        load_program("a\0b")


def test_a_started_assembler_is_used_and_stays_open(tmp_path: Path) -> None:
    """The caller's worker, several programs."""
    (tmp_path / "a.s").write_text("movq $60, %rax")
    with new_assembler() as worker:
        worker.start()
        first = load_program(str(tmp_path / "a.s"), syntax="att", worker=worker)
        assert load_program(str(tmp_path / "a.s"), syntax="att", worker=worker).data == first.data
