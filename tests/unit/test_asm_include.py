"""emu.asm: `.include`, where it looks, what it refuses, and that messages and listings name the right file."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu import disasm
from emu.asm import AsmError, Assembler, Image, listing, sources
from emu.program import load_program
from emu.symbols import Symbols
from userland.catalogue import INCLUDE


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


class Folder:
    """A directory of sources; `assemble` takes main.asm."""

    def __init__(self, path: Path, assembler: Assembler) -> None:
        self.path = path
        self.assembler = assembler

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def assemble(self, text: str, shown: str = "dir/main.asm") -> Image:
        path = self.write("main.asm", text)
        return self.assembler.assemble(text, shown, path=str(path))

    def code(self, text: str) -> str:
        return next(s.data for s in self.assemble(text).sections if s.name == ".text").hex(" ")

    def mistakes(self, text: str) -> list[str]:
        """`file:line:column message` of each."""
        with pytest.raises(AsmError) as caught:
            self.assemble(text)
        return [f"{e.file}:{e.line}:{e.column} {e.message}" for e in caught.value.errors]


@pytest.fixture
def folder(tmp_path: Path, assembler: Assembler) -> Folder:
    return Folder(tmp_path / "sources", assembler)


def test_the_text_of_a_file_stands_in_the_place_of_its_include(folder: Folder) -> None:
    """Instructions, labels, constants and sections are as if written there; the name may be in a folder below."""
    folder.write("a.inc", "add eax, WIDTH\n.data\nvalue: .byte 1\n")
    folder.write("sub/b.inc", "WIDTH = 5\nhelper: ret\n")
    image = folder.assemble('_start: nop\n.include "a.inc"\n.byte 2\n.text\n.include "sub/b.inc"\ncall helper\n')
    assert {s.name: s.data.hex() for s in image.sections} == {".text": "9083c005c3e8faffffff", ".data": "0102"}
    assert image.symbols == {"_start": 0x401000, "helper": 0x401004, "value": 0x402000}


def test_a_file_is_looked_for_beside_the_one_that_includes_it_then_in_the_library(folder: Folder) -> None:
    """Its own directory wins; for a file in a folder that is the folder; the library's files are found from both."""
    folder.write("sub/inner.inc", '.byte 1\n.include "leaf.inc"\n')
    folder.write("sub/leaf.inc", ".byte 2\n")
    folder.write("leaf.inc", ".byte 3\n")
    assert folder.code('.include "sub/inner.inc"\n.include "leaf.inc"\nnop') == "01 02 03 90"
    image = folder.assemble('_start: nop\n.include "sfork.inc"\n')
    assert "sfork_mmap" in image.symbols
    folder.write("sfork.inc", ".byte 9\n")
    assert folder.code('.include "sfork.inc"\nnop') == "09 90"


def test_source_without_a_directory_finds_the_library_only(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, assembler: Assembler
) -> None:
    """Standard input has no place of its own, and the working directory is nobody's."""
    folder.write("near.inc", "nop\n")
    monkeypatch.chdir(folder.path)
    for text, found in (('.include "near.inc"\nnop', False), ('_start: nop\n.include "sfork.inc"', True)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        if found:
            assert load_program("-", worker=assembler).image is not None
        else:
            with pytest.raises(AsmError) as caught:
                load_program("-", worker=assembler)
            assert str(caught.value).splitlines()[0] == (
                "<stdin>:1:10: error: near.inc is not found; searched: userland/include"
            )


def test_load_program_includes_from_the_programs_directory(folder: Folder, assembler: Assembler) -> None:
    """However the program is named, relative to where."""
    folder.write("near.inc", ".byte 7\n")
    path = folder.write("main.asm", '_start: nop\n.include "near.inc"\n')
    image = load_program(os.path.relpath(path), worker=assembler).image
    assert image is not None
    assert image.sections[0].data == b"\x90\x07"
    assert list(image.includes) == [os.path.join(os.path.dirname(os.path.relpath(path)), "near.inc")]


def test_mistakes_name_their_file_and_line(folder: Folder) -> None:
    """Each at its place, in a file included twice once; a label that is there already says where."""
    folder.write("a.inc", "nop\n  mov rax, [\n")
    folder.write("b.inc", "nop\nx: .byte 300\nmov rax, nowhere\n")
    folder.write("c.inc", "c: nop\n")
    assert folder.mistakes('frob\n.include "a.inc"\n.include "a.inc"\n .frob\n') == [
        "dir/main.asm:1:1 unknown instruction frob",
        "dir/main.asm:4:2 unknown directive .frob",
        "dir/a.inc:2:13 a value expected",
    ]
    assert folder.mistakes('.include "b.inc"\nmov rbx, neither') == [
        "dir/main.asm:2:10 undefined symbol neither",
        "dir/b.inc:2:4 value 0x12c does not fit into 1 byte",
        "dir/b.inc:3:10 undefined symbol nowhere",
    ]
    assert folder.mistakes('.include "c.inc"\nc: nop') == ["dir/main.asm:2:1 label c is already defined in dir/c.inc:1"]
    assert folder.mistakes('.include "c.inc"\n.include "c.inc"') == [
        "dir/c.inc:1:1 label c is already defined in line 1"
    ]
    with pytest.raises(AsmError) as caught:
        folder.assemble('.include "a.inc"\n')
    assert str(caught.value).splitlines()[1:] == [
        "      mov rax, [",
        "                ^",
        "dir/main.asm:1: included here",
    ]


def test_lines_and_listing_name_their_file(folder: Folder) -> None:
    """A row with the file's name stands where its lines begin; a library file is named without its place."""
    folder.write("a.inc", "# one\nret  # here\n")
    image = folder.assemble('nop\n.include "a.inc"\nleave\n.include "sfork.inc"\n')
    assert [(n.file, n.line) for n in image.lines[:3]] == [("dir/main.asm", 1), ("dir/a.inc", 2), ("dir/main.asm", 3)]
    assert image.lines[3].file == "userland/include/sfork.inc"
    assert image.includes["dir/a.inc"] == "# one\nret  # here\n"
    rows = listing(image).splitlines()
    assert rows[:9] == [
        "  401000  90                           1  nop",
        '                                       2  .include "a.inc"',
        "dir/a.inc:",
        "                                       1  # one",
        "  401001  c3                           2  ret  # here",
        "dir/main.asm:",
        "  401002  c9                           3  leave",
        '                                       4  .include "sfork.inc"',
        "userland/include/sfork.inc:",
    ]


def test_the_disassembly_of_a_report_shows_the_included_line(folder: Folder, assembler: Assembler) -> None:
    """Symbols find the text in the file where it is."""
    folder.write("a.inc", "\n\nhelper: ret # the end\n")
    path = folder.write("main.asm", '_start: nop\n.include "a.inc"\n')
    line = Symbols.of(load_program(str(path), worker=assembler)).line(0x401001)
    assert line is not None
    assert (line.line, line.text) == (3, "helper: ret # the end")
    assert line.file.endswith("a.inc")


def test_syntax_goes_in_and_comes_out(folder: Folder) -> None:
    """As in GNU as: a file begins in the syntax of its includer, and what it switches to stays."""
    folder.write("att.inc", ".att_syntax\nmovl $1, %eax; nop\n")
    folder.write("plain.inc", "movl $2, %eax\n")
    assert folder.code('.include "att.inc"\n.include "plain.inc"\nmovl $3, %eax\n.intel_syntax\nmov eax, 4') == (
        "b8 01 00 00 00 90 b8 02 00 00 00 b8 03 00 00 00 b8 04 00 00 00"
    )
    folder.write("open.inc", "nop\n/* never")
    assert folder.mistakes('.include "open.inc"\nnop\n') == ["dir/open.inc:2:1 comment /* never ends"]


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ('.include "../up.inc"', "10 ../up.inc is not a path below the including file's directory or userland/include"),
        ('.include "a/../b"', "10 a/../b is not a path below the including file's directory or userland/include"),
        ('.include "/up.inc"', "10 /up.inc is not a path below the including file's directory or userland/include"),
        ('.include "none.inc"', "10 none.inc is not found; searched: dir and userland/include"),
        ('.include ""', "10 '' is not a file name"),
        ('.include "a\\0b"', "10 'a\\x00b' is not a file name"),
        ('.include "folder"', "10 folder is not a regular file"),
        ('.include "pipe"', "10 pipe is not a regular file"),
        ('.include "link.inc"', "10 link.inc leads out of dir"),
        ('.include "out/up.inc"', "10 out/up.inc leads out of dir"),
        ('.include "dangling"', "10 dangling leads out of dir"),
        ('.include "loop"', "10 loop cannot be read: Too many levels of symbolic links"),
        ('.include "nul.inc"', "10 nul.inc is not text: a NUL byte in line 2"),
        (".include plain.inc", "10 a file name in double quotes expected, found 'plain.inc'"),
        (".include", "9 a file name in double quotes expected"),
        ('.include "a" "b"', "14 unexpected 'b'"),
    ],
)
def test_what_is_no_file_below_the_two_directories_is_refused(folder: Folder, directive: str, message: str) -> None:
    """One error at the place of the include."""
    outside = folder.write("../up.inc", "SECRET = 1\n").resolve()
    folder.write("folder/x", "")
    folder.write("nul.inc", "nop\n\0\n")
    os.mkfifo(folder.path / "pipe")
    for name, target in (("link.inc", outside), ("out", outside.parent), ("dangling", "/nowhere"), ("loop", "loop")):
        os.symlink(target, folder.path / name)
    assert folder.mistakes(f"nop\n{directive}\nnop") == [f"dir/main.asm:2:{message}"]


def test_a_link_that_stays_is_followed(folder: Folder) -> None:
    """Only where it leads counts."""
    folder.write("real/a.inc", ".byte 5\n")
    os.symlink("real/a.inc", folder.path / "a.inc")
    assert folder.code('.include "a.inc"\nnop') == "05 90"


def test_a_cycle_is_one_error(folder: Folder) -> None:
    """It names the way round, also when it leads back to the program."""
    folder.write("a.inc", 'nop\n.include "b.inc"\n')
    folder.write("b.inc", '.include "a.inc"\n')
    assert folder.mistakes('.include "a.inc"\nnop') == [
        "dir/b.inc:1:10 a.inc includes itself: dir/a.inc -> dir/b.inc -> dir/a.inc"
    ]
    assert folder.mistakes('nop\n.include "main.asm"') == [
        "dir/main.asm:2:10 main.asm includes itself: dir/main.asm -> dir/main.asm"
    ]


def test_depth_and_number_are_limited(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tower and a tree that doubles end in one error each."""
    for level in range(40):
        folder.write(f"{level}.inc", f'.include "{level + 1}.inc"\n')
        folder.write(f"twice{level}.inc", f'.include "twice{level + 1}.inc"\n' * 2)
    folder.write("40.inc", "nop\n")
    folder.write("twice16.inc", "nop\n")
    assert folder.mistakes('.include "0.inc"') == ["dir/19.inc:1:10 .include is nested more than 20 deep"]
    found = folder.mistakes('.include "twice0.inc"')
    assert len(found) <= 50
    assert all(m.endswith("more than 1000 files or 64 MiB are included") for m in found)
    folder.write("big.inc", "nop\n" * 100)
    monkeypatch.setattr(sources, "MAX_FILE", 300)
    assert folder.mistakes('.include "big.inc"') == ["dir/main.asm:1:10 big.inc is larger than 0 MiB"]


def test_the_wheel_has_the_library() -> None:
    """What sources include is beside the C headers, and package data of the distribution."""
    assert {path.name for path in INCLUDE.iterdir()} >= {"cr3lab.h", "sfork.h", "sfork.inc"}
    patterns = (INCLUDE.parent.parent / "pyproject.toml").read_text()
    assert all(f'"*{suffix}"' in patterns for suffix in (".h", ".inc"))
