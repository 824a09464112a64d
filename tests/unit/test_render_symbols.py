"""emu.symbols and emu.elf_symbols: names and lines of assembled programs and of ELF files from anywhere."""

import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from emu import api
from emu.program import AssemblerName, Program, load_program
from emu.symbols import SourceLine, Symbols

SOURCE = """.include "part.inc"
.text
.global _start
.type _start, @function
_start:
    nop
    call crash
.size _start, . - _start
.data
value: .quad 1
"""
PART = """.text
crash:
    xor eax, eax
    mov eax, [rax + 8]      # here
    ret
    .byte 7
"""

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def write_sources(directory: Path) -> str:
    (directory / "part.inc").write_text(PART)
    (directory / "main.s").write_text(SOURCE)
    return str(directory / "main.s")


def as_elf(program: Program) -> Program:
    """The same program when only its file is known."""
    return Program(program.name, program.path, program.data, None)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.chdir(tmp_path)
    write_sources(tmp_path)
    return load_program("main.s")


def test_an_image_and_its_executable_tell_the_same(program: Program) -> None:
    """Every instruction's name and line, from the assembler's memory and from .symtab and DWARF."""
    assert program.image is not None
    here, there = Symbols.of(program), Symbols.of(as_elf(program))
    code = [line.address for line in program.image.lines if line.code]
    assert len(code) == 5
    assert [(there.name(a), there.line(a)) for a in code] == [(here.name(a), here.line(a)) for a in code]
    assert here.addresses() == there.addresses()


def test_a_place_is_name_offset_file_and_line(program: Program) -> None:
    """Or what is known of it: data have no line, nothing has neither."""
    crash = 0x401002
    for symbols in (Symbols.of(program), Symbols.of(as_elf(program))):
        assert symbols.place(crash) == "crash+0x2 at part.inc:4"
        assert symbols.line(crash) == SourceLine("part.inc", 4, "mov eax, [rax + 8]      # here")
        assert symbols.place(0x10) is None
    elf = Symbols.of(as_elf(program))
    assert (elf.place(0x401006), elf.place(0x402003)) == ("crash+0x6", "value+0x3")


def test_a_macro_shows_the_statement_it_made(tmp_path: Path) -> None:
    """The line is that of its use."""
    (tmp_path / "m.s").write_text(".macro add1 r\n inc \\r\n.endm\n_start: add1 eax\n")
    line = Symbols.of(load_program(str(tmp_path / "m.s"))).line(0x401000)
    assert line == SourceLine(str(tmp_path / "m.s"), 4, "inc eax")


@pytest.mark.parametrize("assembler", ["gas", "nasm"])
def test_executables_of_other_assemblers_tell_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assembler: AssemblerName
) -> None:
    """DWARF as GNU as and nasm write it, another version of it each."""
    tool = {"gas": "as", "nasm": "nasm"}[assembler]
    if not shutil.which(tool) or not shutil.which("ld"):
        pytest.skip(f"{tool} or ld is not installed")
    monkeypatch.chdir(tmp_path)
    sources = {"gas": "_start: nop\nagain:\n    jmp again\n", "nasm": "section .text\n_start: nop\nagain: jmp again\n"}
    (tmp_path / "x.asm").write_text(sources[assembler])
    symbols = Symbols.of(load_program("x.asm", assembler=assembler))
    assert symbols.place(0x401001) == "again at x.asm:3"
    line = symbols.line(0x401001)
    assert line is not None
    assert line.text.endswith("jmp again")


@needs_gcc
def test_a_c_program_with_debug_information_says_where_it_failed(tmp_path: Path) -> None:
    """gcc -g -static: the fault report names function, file and line, and shows the line."""
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "deref.h").write_text("static int deref(volatile int *p)\n{\n    return *p; /* here */\n}\n")
    (tmp_path / "t.c").write_text('#include "inc/deref.h"\nint main(void)\n{\n    return deref((int *)16);\n}\n')
    command = ["gcc", "-g", "-O0", "-static", "-no-pie", "-o", "t", "t.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    report = api.run(tmp_path / "t").fault_report()
    assert "<deref+0x" in report
    assert "  source       inc/deref.h:3: return *p; /* here */\n" in report


def test_the_source_of_an_elf_file_is_shown_only_from_its_own_folders(program: Program, tmp_path: Path) -> None:
    """The file may name any: what is neither below it nor below the present directory stays unread."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    line = Symbols.of(Program("p", str(elsewhere / "p"), program.data, None)).line(0x401000)
    assert line == SourceLine("part.inc", 3, "xor eax, eax")  # the present directory
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        symbols = Symbols.of(Program("p", str(elsewhere / "p"), program.data, None))
        assert symbols.line(0x401000) == SourceLine("part.inc", 3, "")
        beside = Symbols.of(Program("p", str(tmp_path / "p"), program.data, None))
        assert beside.line(0x401000) == SourceLine("part.inc", 3, "xor eax, eax")


def test_a_source_that_is_gone_or_no_file_leaves_the_place(program: Program, tmp_path: Path) -> None:
    """File and line are known all the same, and the report shows them without a text."""
    (tmp_path / "part.inc").unlink()
    assert Symbols.of(as_elf(program)).line(0x401000) == SourceLine("part.inc", 3, "")
    (tmp_path / "part.inc").mkdir()
    assert Symbols.of(as_elf(program)).line(0x401000) == SourceLine("part.inc", 3, "")
    assert "  source       part.inc:4\n" in api.run(as_elf(program)).fault_report()


def test_functions_come_before_labels_and_globals_before_others() -> None:
    """Of several names for one address; all of them can be asked for; constants and what is undefined name nothing."""
    entries = [
        ("local", 0, 0, 1),
        ("wide", 1, 0, 1),
        ("function", 0, 2, 1),
        ("absolute", 1, 0, 0xFFF1),
        ("none", 1, 0, 0),
    ]
    strings, table = b"\0", bytes(24)
    for name, binding, kind, section in entries:
        address = {"absolute": 0x401004, "none": 0x401006}.get(name, 0x401000)
        table += struct.pack("<IBBHQQ", len(strings), binding << 4 | kind, 0, section, address, 4 if kind else 0)
        strings += name.encode() + b"\0"
    at = 64 + len(table + strings)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQ", 2, 62, 1, 0, 0, at)
    head += struct.pack("<IHHHHHH", 0, 64, 0, 0, 64, 4, 3)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 0, 1, 6, 0x401000, 64, 16, 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, 64, len(table), 3, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64 + len(table), len(strings), 0, 0, 1, 0)
    symbols = Symbols.of(Program("a", "/a", head + table + strings + sections, None))
    assert symbols.name(0x401000) == "function"
    assert symbols.addresses() == dict.fromkeys(("function", "local", "wide"), 0x401000)


def test_damaged_files_are_as_good_as_silent(program: Program) -> None:
    """Bytes changed and cut off anywhere: an answer, or none, but never an exception."""
    chosen = random.Random(4)
    for _ in range(150):
        data = bytearray(program.data)
        for _ in range(chosen.choice((1, 4, 30))):
            data[chosen.randrange(chosen.choice((0, len(data) - 2500)), len(data))] = chosen.choice((0, 127, 128, 255))
        symbols = Symbols.of(
            Program("p", "/p", bytes(data[: chosen.choice((len(data), chosen.randrange(len(data))))]), None)
        )
        for address in (0x401000, 0x401009, 0x402000):
            symbols.place(address)


def test_a_program_that_does_not_fail_pays_nothing_for_it(program: Program, tmp_path: Path) -> None:
    """The ELF reader is not even loaded."""
    (tmp_path / "ok.s").write_text("mov edi, 5\nmov eax, SYS_exit_group\nsyscall\n")
    (tmp_path / "ok.elf").write_bytes(load_program(str(tmp_path / "ok.s")).data)
    code = (
        "import sys; from emu.cli.main import main; status = main(['run', 'ok.elf'])\n"
        "sys.exit(status if not any(name.startswith('elftools') for name in sys.modules) else 99)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, timeout=60).returncode == 5
