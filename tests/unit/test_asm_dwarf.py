"""emu.asm.dwarf: lines and functions of our executables, as pyelftools, gdb, objdump and readelf read them."""

import io
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from emu.asm import Image, to_elf
from emu.program import Program, load_program

MAIN = """# a program in two files
.text
.global _start
.type _start, @function
_start:
    mov edi, 3
    call work
    mov eax, SYS_exit_group
    syscall
.size _start, . - _start
.include "part.inc"
    .byte 1, 2, 3       # data between instructions
after:
    nop
.macro two register
    inc \\register
    dec \\register
.endm
    two rax
.section .more, "ax"
beyond:
    ret
.rodata
.type table, @object
table: .quad _start, beyond
.size table, . - table
"""
PART = """# included
.type work, @function
work:
    push rbx
%s
    lea eax, [rdi + 39]
    pop rbx
    ret
.size work, . - work
""" % ("\n" * 80)
#: (first characters of the instruction, file, line)
ROWS = [
    ("bf", "main.asm", 6), ("e8", "main.asm", 7), ("b8", "main.asm", 8), ("0f05", "main.asm", 9),
    ("53", "part.inc", 4), ("8d47", "part.inc", 86), ("5b", "part.inc", 87), ("c3", "part.inc", 88),
    ("90", "main.asm", 14), ("48ffc0", "main.asm", 19), ("48ffc8", "main.asm", 19), ("c3", "main.asm", 22),
]  # fmt: skip

needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="runs the program natively: needs x86-64 Linux"
)


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if not shutil.which(tool)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, loaded by a relative name, and written as p.elf beside its sources."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.asm").write_text(MAIN)
    (tmp_path / "part.inc").write_text(PART)
    made = load_program("main.asm")
    (tmp_path / "p.elf").write_bytes(made.data)
    (tmp_path / "p.elf").chmod(0o755)
    return made


def image_of(program: Program) -> Image:
    assert program.image is not None
    return program.image


def run(*command: str) -> str:
    """What a tool says; nothing on stderr is the first thing expected of it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), command
    assert "arning" not in done.stdout
    return done.stdout


def unit_of(data: bytes) -> tuple[Any, Any]:
    dwarf: Any = ELFFile(io.BytesIO(data)).get_dwarf_info()
    (unit,) = dwarf.iter_CUs()
    return dwarf, unit


def test_every_instruction_has_its_line_and_data_has_none(program: Program) -> None:
    """Rows of the line table as pyelftools decodes them: addresses, files, lines, and where each sequence ends."""
    dwarf, unit = unit_of(program.data)
    lines = dwarf.line_program_for_CU(unit)
    names = [entry.name.decode() for entry in lines["file_entry"]]
    image = image_of(program)
    states = [entry.state for entry in lines.get_entries() if entry.state is not None]
    found = [
        (image.at(s.address, 4).hex(), names[s.file - 1], s.line) for s in states if not s.end_sequence and s.is_stmt
    ]
    assert [(code[: len(start)], *rest) for (code, *rest), (start, *_) in zip(found, ROWS, strict=True)] == ROWS
    ends = [s.address for s in states if s.end_sequence]
    data = next(line for line in image.lines if line.length == 3 and not line.code)
    assert ends == [data.address, image.symbols["after"] + 7, image.symbols["beyond"] + 1]


def test_the_unit_names_its_file_directory_range_and_functions(program: Program, tmp_path: Path) -> None:
    """The compilation unit's entry, the functions that .type and .size describe, and the table of addresses."""
    dwarf, unit = unit_of(program.data)
    top = unit.get_top_DIE()
    attributes = {name.removeprefix("DW_AT_"): a.value for name, a in top.attributes.items()}
    assert (attributes["name"], attributes["comp_dir"]) == (b"main.asm", str(tmp_path).encode())
    image = image_of(program)
    assert (attributes["low_pc"], attributes["high_pc"]) == (0x401000, image.symbols["beyond"] + 1 - 0x401000)
    functions = [
        (d.attributes["DW_AT_name"].value, d.attributes["DW_AT_low_pc"].value, d.attributes["DW_AT_high_pc"].value,
         d.attributes["DW_AT_decl_file"].value, d.attributes["DW_AT_decl_line"].value,
         d.attributes["DW_AT_external"].value)
        for d in top.iter_children()
    ]  # fmt: skip
    work = image.symbols["work"]
    assert functions == [(b"_start", 0x401000, work - 0x401000, 1, 5, True), (b"work", work, 6, 2, 3, False)]
    assert [dwarf.get_aranges().cu_offset_at_addr(a) for a in (0x401000, work, image.symbols["beyond"])] == [0, 0, 0]


def test_the_bytes_depend_on_the_source_alone(program: Program) -> None:
    """Made twice, the file is the same."""
    assert to_elf(image_of(program)) == program.data == load_program("main.asm").data


def test_a_source_without_a_file_has_line_numbers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input goes by its name, without a directory."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nop\nnop\n")))
    _, unit = unit_of(load_program("-").data)
    attributes = unit.get_top_DIE().attributes
    assert (attributes["DW_AT_name"].value, attributes["DW_AT_comp_dir"].value) == (b"<stdin>", b"")


def test_a_file_of_the_library_is_named_by_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In messages it is userland/include/..., which a debugger could not find."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.asm").write_text('_start: nop\n.include "sfork.inc"\n')
    dwarf, unit = unit_of(load_program("main.asm").data)
    names = [Path(entry.name.decode()) for entry in dwarf.line_program_for_CU(unit)["file_entry"]]
    assert names[0] == Path("main.asm")
    assert names[1].is_absolute()
    assert names[1].is_file()


def test_an_image_without_code_has_no_debug_sections() -> None:
    """There is nothing to say."""
    image = Image("a", "", (), 0x401000, {}, frozenset(), ())
    names = [section.name for section in ELFFile(io.BytesIO(to_elf(image))).iter_sections()]
    assert names == ["", ".symtab", ".strtab", ".shstrtab"]


@needs("readelf")
def test_readelf_accepts_everything(program: Program) -> None:
    """Headers, symbols, and all DWARF sections, without a warning; the decoded lines are the rows."""
    run("readelf", "-aW", "p.elf")
    run("readelf", "-w", "p.elf")
    shown = run("readelf", "-W", "--debug-dump=decodedline", "p.elf")
    rows = re.findall(r"^(\S+)\s+(\d+)\s+0x[0-9a-f]+\s+x$", shown, re.M)
    assert rows == [(file, str(line)) for _, file, line in ROWS]


@needs("objdump")
def test_objdump_shows_functions_and_lines(program: Program, tmp_path: Path) -> None:
    """-d -l: a place in front of each instruction."""
    shown = run("objdump", "-d", "-l", "p.elf")
    assert re.findall(rf"^{tmp_path}/(\S+:\d+)$", shown, re.M) == [f"{f}:{n}" for _, f, n in ROWS[:9]] + [
        "main.asm:19", "main.asm:22",
    ]  # fmt: skip
    assert "<work>:" in shown


@needs("addr2line")
def test_addr2line_names_function_and_line(program: Program) -> None:
    """Inside an included file, and in another section."""
    image = image_of(program)
    places = [f"{image.symbols[name]:#x}" for name in ("work", "beyond")]
    shown = run("addr2line", "-s", "-f", "-e", "p.elf", *places).split("\n")
    assert shown[:4:2] + shown[1:4:2] == ["work", "beyond", "part.inc:4", "main.asm:22"]


@needs_linux
@needs("gdb")
def test_gdb_stops_at_a_function_and_shows_its_source(program: Program) -> None:
    """A breakpoint by name, the line there, the caller, and the text of the included file."""
    script = ["set debuginfod enabled off", "break work", "run", "info line", "list", "backtrace", "kill"]
    options = [word for line in script for word in ("-ex", line)]
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *options, "p.elf"], capture_output=True, text=True, check=False, timeout=60
    )
    if "Couldn't get CS register" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("gdb may not trace here")
    assert "arning" not in done.stdout + done.stderr
    assert "Breakpoint 1, work () at part.inc:4" in done.stdout
    assert re.search(r'^Line 4 of "part.inc" starts at address 0x[0-9a-f]+ <work> and ends at', done.stdout, re.M)
    assert re.search(r"^4\tpush rbx$|^4\t    push rbx$", done.stdout, re.M)
    assert re.search(r"^#1 .* in _start \(\) at main.asm:7$", done.stdout, re.M)


@needs_linux
def test_the_program_still_runs(program: Program, tmp_path: Path) -> None:
    """What debuggers read is not loaded."""
    assert subprocess.run([tmp_path / "p.elf"], check=False, timeout=30).returncode == 3
