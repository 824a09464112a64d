"""emu.asm: `.rept` and `.if` with their kin, against GNU as where it is installed, and what they refuse."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_asm_gas import gnu

from emu import disasm
from emu.asm import AsmError, Assembler


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def code(assembler: Assembler, text: str) -> str:
    image = assembler.assemble(text, "t.asm")
    return next(s.data for s in image.sections if s.name == ".text").hex()


def mistakes(assembler: Assembler, text: str) -> list[str]:
    with pytest.raises(AsmError) as caught:
        assembler.assemble(text, "t.asm")
    return [f"{e.line}:{e.column} {e.message}" for e in caught.value.errors]


#: (source, bytes): every line is a case of its own.
CASES = [
    (".rept 3\nnop\n.endr", "909090"),
    (".rept 0\nfrob\n.endr\nnop", "90"),
    (".rept 2\n.rept 2\nnop\n.endr\nret\n.endr", "9090c39090c3"),
    ("n = 0\n.rept 4\n.byte n\nn = n + 1\n.endr", "00010203"),
    (".rept 2\n1: jmp 1b\n.endr", "ebfeebfe"),
    ("x: .rept 1 + 1\nnop\n.endr", "9090"),
    (".if 1\nnop\n.else\nret\n.endif", "90"),
    (".if 0\nnop\n.else\nret\n.endif", "c3"),
    (".if 0\nnop\n.elseif 5\nret\n.else\nleave\n.endif", "c3"),
    (".if 0\nnop\n.elseif 0\nret\n.else\nleave\n.endif", "c9"),
    (".if 0\nnop\n.endif\nret", "c3"),
    (".if 1\n.if 0\nnop\n.else\nret\n.endif\n.endif", "c3"),
    (".if 0\n.if 1\nnop\n.else\nret\n.endif\n.else\nleave\n.endif", "c9"),
    (".ifdef x\nnop\n.endif\nx = 1\n.ifdef x\nret\n.endif", "c3"),
    (".ifndef x\nx = 1\nnop\n.endif\n.ifndef x\nret\n.endif", "90"),
    ("a: nop\n.ifdef a\nret\n.endif", "90c3"),
    ("n = 0\n.rept 2\n.if n\nnop\n.else\nret\n.endif\nn = 1\n.endr", "c390"),
    (".byte 3 == 3, 3 != 3, 2 < 3, 3 <= 2, 3 > 2, 2 >= 3, 1 <> 2", "ff00ff00ff00ff"),
    (".byte 2 && 3, 2 && 0, 0 || 4, 0 || 0, 1 || 0 && 0", "0100010001"),
    (".byte 1 + 2 == 3, 4 == 2 + 2, 1 | 2 == 3, -(1 < 2)", "ffffff01"),
    ("n == 3\n.if n == 3 && n < 4\nnop\n.endif", "90"),
]


@pytest.mark.parametrize(("source", "data"), CASES, ids=[repr(source)[1:40] for source, _data in CASES])
def test_blocks_mean_what_they_mean_to_gnu_as(assembler: Assembler, source: str, data: str, tmp_path: Path) -> None:
    """The bytes given here, and those of GNU as."""
    source = f"_start:\n{source}"
    assert code(assembler, source) == data
    if shutil.which("as") and "n == 3\n" not in source:
        image = assembler.assemble(source, "t.asm")
        assert gnu(source, image, "intel", tmp_path)[".text"].hex() == code(assembler, source)


def test_lines_stay_those_of_the_source(assembler: Assembler) -> None:
    """Every repetition points at the line that was written, and a mistake in one is reported once."""
    image = assembler.assemble(".rept 2\n\nnop\n.endr\nret", "t.asm")
    assert [(line.address & 0xFF, line.line) for line in image.lines] == [(0, 3), (1, 3), (2, 5)]
    assert mistakes(assembler, ".rept 9\nnop\nfrob\nmov rax, [\n.endr") == [
        "3:1 unknown instruction frob",
        "4:11 a value expected",
    ]
    assert mistakes(assembler, ".rept 3\nx: nop\n.endr") == ["2:1 label x is already defined in line 2"]


def test_what_is_left_out_need_not_make_sense(assembler: Assembler) -> None:
    """Only brackets of blocks are looked for in it."""
    assert code(assembler, '.if 0\n)( frob \'\n.macro m\n.include "nowhere"\n.endif\nnop') == "90"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nop\n.rept 2\nnop", "2:1 .rept without .endr"),
        ("nop\n.if 1\n.rept 2\n.endr\nnop", "2:1 .if without .endif"),
        ("nop\n.endr", "2:1 .endr outside of a block"),
        ("nop\n .else", "2:2 .else outside of a block"),
        ("nop\n.if 1\nnop\n.endr", "2:1 .if without .endif"),
        ("nop\n.if 1\n.else\n.else\n.endif", "2:1 .else behind .else"),
        ("nop\n.if 1\n.else 5\n.endif", None),
        ("nop\n.if 0\n.else 5\n.endif", "3:7 unexpected '5'"),
        ("nop\n.if 0\n.elseif y\n.endif", "3:9 y is not a number that is known here"),
        ("nop\n.rept -1\n.endr", "2:1 negative count -1"),
        ("nop\n.rept 0x7fffffff\nnop\n.endr", "2:1 .rept makes more than 32768 statements or 8 MiB of text"),
        ("nop\n.rept 0x7fffffff\n.endr", None),
        ("x: nop\n.if x\n.endif", "2:5 x is not a number that is known here"),
        ("nop\n.if . - 1\n.endif", "2:5 . is not a number that is known here"),
        ("nop\n.if rax\n.endif", "2:5 register rax inside an expression"),
        ("nop\n.if\n.endif", "2:4 a value expected"),
        ("nop\n.if 1 2\n.endif", "2:7 unexpected '2'"),
        ("nop\n.ifdef\n.endif", "2:7 a name expected"),
        ("nop\n.rept x\n.endr\nx = 3", "2:7 x is not a number that is known here"),
    ],
)
def test_a_block_that_is_wrong_is_one_mistake(assembler: Assembler, source: str, expected: str | None) -> None:
    """At the directive that opens it, or that has the mistake; None where there is none."""
    if expected is None:
        assert code(assembler, source) == "90"
    else:
        assert mistakes(assembler, source) == [expected]


def test_blocks_are_bounded(assembler: Assembler) -> None:
    """Towers of blocks, and blocks whose product explodes, end in an error and in no time."""
    deep = ".if 1\n" * 5000 + "nop\n" + ".endif\n" * 5000
    assert mistakes(assembler, deep) == ["120:1 files, blocks and macros are nested more than 120 deep"]
    wide = ".rept 1000\n" * 10 + "nop\n" + ".endr\n" * 10
    assert ["more than 32768 statements" in m for m in mistakes(assembler, wide)] == [True]
    assert code(assembler, ".if 1\n" * 50 + "nop\n" + ".endif\n" * 50) == "90"
