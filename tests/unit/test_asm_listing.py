"""emu.asm.listing: the source beside its addresses and bytes, and the table of symbols."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.asm import Assembler, Image, listing, symbol_table
from emu.program import new_assembler


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with new_assembler() as made:
        yield made


def rows(image: Image) -> list[str]:
    """The listing's rows with single blanks."""
    return [" ".join(row.split()) for row in listing(image).splitlines()]


def test_every_source_line_is_there_once_and_in_order(assembler: Assembler) -> None:
    """Comments, labels and what a condition leaves out too; at the place where the source has them."""
    source = "# start\n.data\nx: .byte 1\n\n.text\n_start:\n    nop\n.if 0\n    hlt\n.endif\n"
    assert rows(assembler.assemble(source, "t.asm")) == [
        "1 # start", "2 .data", "402000 01 3 x: .byte 1", "4", "5 .text", "6 _start:", "401000 90 7 nop", "8 .if 0",
        "9 hlt", "10 .endif",
    ]  # fmt: skip


def test_long_data_is_folded(assembler: Assembler) -> None:
    """Eight bytes a row, four rows at most; equal bytes are counted."""
    source = f"nop\n.byte {', '.join(map(str, range(40)))}\n.fill 1000, 1, 7\n.zero 16\n"
    assert rows(assembler.assemble(source, "t.asm"))[1:] == [
        f"401001 00 01 02 03 04 05 06 07 2 .byte {', '.join(map(str, range(40)))}",
        "401009 08 09 0a 0b 0c 0d 0e 0f",
        "401011 10 11 12 13 14 15 16 17",
        "401019 18 19 1a 1b 1c 1d 1e 1f",
        "401021 ... 8 more bytes",
        "401029 07 x 1000 3 .fill 1000, 1, 7",
        "401411 00 00 00 00 00 00 00 00 4 .zero 16",
        "401419 00 00 00 00 00 00 00 00",
    ]


def test_a_repetition_shows_each_round(assembler: Assembler) -> None:
    assert rows(assembler.assemble(".rept 2\n  inc eax\n.endr\nret", "t.asm")) == [
        "1 .rept 2", "401000 ff c0 2 inc eax", "401002 ff c0 2 inc eax", "3 .endr", "401004 c3 4 ret",
    ]  # fmt: skip


def test_a_macro_shows_the_statements_it_makes(assembler: Assembler) -> None:
    """Behind the line that uses it, marked; a macro within a macro belongs to the outermost use."""
    source = ".macro one r\n inc \\r\n.endm\n.macro two r\n one \\r\n dec \\r\n.endm\ntwo eax\nnop\n"
    assert rows(assembler.assemble(source, "t.asm"))[7:] == [
        "8 two eax", "401000 ff c0 8 > inc eax", "401002 ff c8 8 > dec eax", "401004 90 9 nop",
    ]  # fmt: skip


def test_includes_stand_where_they_are_included(assembler: Assembler, tmp_path: Path) -> None:
    """Within one another, and a file that is included twice is shown twice."""
    (tmp_path / "a.inc").write_text('# a\n.include "b.inc"\n# rest of a\n')
    (tmp_path / "b.inc").write_text("nop\n# rest of b\n")
    source = '.include "a.inc"\nret\n.include "b.inc"\n# end\n'
    image = assembler.assemble(source, "t.asm", path=str(tmp_path / "t.asm"))
    assert rows(image) == [
        '1 .include "a.inc"', "a.inc:", "1 # a", '2 .include "b.inc"', "b.inc:", "401000 90 1 nop", "2 # rest of b",
        "a.inc:", "3 # rest of a", "t.asm:", "401001 c3 2 ret", '3 .include "b.inc"', "b.inc:", "401002 90 1 nop",
        "2 # rest of b", "t.asm:", "4 # end",
    ]  # fmt: skip


def test_linked_functions_follow_the_program(assembler: Assembler) -> None:
    """What an external name of a NASM program brings in is shown with its file's name."""
    source = "extern lab_exit\nsection .text\n_start: call lab_exit\n"
    shown = rows(assembler.assemble(source, "t.asm", syntax="nasm"))
    assert shown[2].startswith("401000 e8 ")
    assert shown[3] == "userland/include/lab.inc:"
    assert any(row.endswith("mov eax, SYS_exit_group") and row.startswith("40") for row in shown[4:])


def test_the_symbols_tell_address_size_binding_type_section_and_place(assembler: Assembler) -> None:
    """Labels by address, then constants; numeric labels are no symbols."""
    source = """SIZE = 4
.globl main
.type main, @function
main: nop
1: jmp 1b
.size main, . - main
end:
.data
x: .zero SIZE
"""
    assert [row.split() for row in symbol_table(assembler.assemble(source, "t.asm")).splitlines()] == [
        ["401000", "3", "global", "function", ".text", "r-x", "main", "t.asm:4"],
        ["401003", "-", "local", "-", ".text", "r-x", "end", "t.asm:7"],
        ["402000", "-", "local", "-", ".data", "rw-", "x", "t.asm:9"],
        ["4", "-", "local", "constant", "-", "SIZE"],
    ]
    assert symbol_table(assembler.assemble("nop", "t.asm")) == ""


def test_nasm_symbols_have_types_and_sizes(assembler: Assembler) -> None:
    """`global` may tell them, in NASM's way; visibility is for a linker."""
    source = """section .text
global f:function hidden (f.end - f), d:data 4, plain
f: nop
   ret
.end:
plain: nop
section .data
d: dd 4
"""
    table = symbol_table(assembler.assemble(source, "t.asm", syntax="nasm"))
    assert {row.split()[6]: row.split()[1:4] for row in table.splitlines()} == {
        "f": ["2", "global", "function"], "f.end": ["-", "local", "-"], "plain": ["-", "global", "-"],
        "d": ["4", "global", "object"],
    }  # fmt: skip
