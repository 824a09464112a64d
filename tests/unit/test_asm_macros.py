"""emu.asm: macros of GNU as, against GNU as where it is installed, and how they end when they do not."""

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


SHOW = '.macro m a, b=7\n.ascii "<\\a|\\b>"\n.endm\n'
REST = '.macro v x:req, rest:vararg\n.ascii "<\\x|\\rest>"\n.endm\n'

#: Each is a case of its own.
CASES = [
    ".macro zero r\nxor \\r, \\r\n.endm\nzero eax\nzero rdi",
    ".macro zero r\nxor \\r, \\r\n.endm\nlabel: zero eax\njmp label",
    ".macro call3 f, x, y=2, z=3\nmov edi, \\x\nmov esi, \\y\nmov edx, \\z\ncall \\f\n.endm\n"
    "call3 f, 1\ncall3 f, 1, 5, 6\n"
    "call3 f, z=9, x=1\nf: ret",
    *(SHOW + "m " + arguments for arguments in (
        "1 2", "1, 2", "rax + 1", "rax +1 2", '"x y", "a,b"', "b=3, a=4", "[rax + 8], 5", "1,", "", "a b", "-1 -2",
        "%rax %rbx", "a=1", "5 + 2 + 1, 4", "rax*2", ", 3", "1 ,2",
    )),
    *(REST + "v " + arguments for arguments in ("1", "1, 2, 3", "1 2 3", "x, [rax], 5")),
    '.macro w n\n.ascii "\\n\\()x\\@"\n.endm\nw 5\nw 6',
    ".macro local_loop r\n.Lagain\\@: dec \\r\njnz .Lagain\\@\n.endm\nlocal_loop ecx\nlocal_loop edx",
    ".macro spin n\n1: dec \\n\njnz 1b\n.endm\nspin eax\nspin ebx",
    ".macro sum from=0, to=5\n.long \\from\n.if \\to-\\from\nsum \"(\\from+1)\",\\to\n.endif\n.endm\nsum 0, 5",
    ".macro early x\n.if \\x\n.exitm\n.endif\nnop\n.endm\nearly 1\nearly 0",
    ".macro outer x\n.macro inner\nmov eax, \\x\n.endm\ninner\n.endm\nouter 5",
    ".macro a x\n.byte \\x\n.endm\n.macro b x\na \\x\na \\x + 1\n.endm\nb 3",
    ".macro Mixed x\n.byte \\x\n.endm\nMIXED 1\nmixed 2",
    ".macro m\nnop\n.endm\n.purgem m\n.macro m\nret\n.endm\nm",
    ".macro rep_it n, x\n.rept \\n\n.byte \\x\n.endr\n.endm\nrep_it 3, 0x41",
    ".macro each x, rest:vararg\n.byte \\x\n.ifnb \\rest\neach \\rest\n.endif\n.endm\neach 1, 2, 3, 4",
    '.irp r, a b, c\n.ascii "\\r "\n.endr',
    '.irp r, "p q", [1]\n.ascii "{\\r}"\n.endr',
    ".irp r, rax, rbx, r12\npush \\r\n.endr\n.irp r, r12, rbx, rax\npop \\r\n.endr",
    '.irp r\n.ascii "{\\r}"\n.endr',
    '.irpc c,abc\n.ascii "\\c-"\n.endr',
    ".irpc n,123\nmov eax, \\n\n.endr",
    ".irp a,1,2\n.irp b,3,4\n.byte \\a,\\b\n.endr\n.endr",
    ".macro saved regs:vararg\n.irp r,\\regs\npush \\r\n.endr\n.endm\nsaved rax, rbx",
    ".ifc a,a\n.byte 1\n.endif\n.ifnc a,b\n.byte 2\n.endif\n.ifb\n.byte 3\n.endif\n.ifnb x\n.byte 4\n.endif",
    ".ifeq 0\n.byte 1\n.endif\n.ifne 0\n.byte 2\n.endif\n.ifgt 1\n.byte 3\n.endif\n.iflt 1\n.byte 4\n.endif",
    ".ifge 0\n.byte 1\n.endif\n.ifle -1\n.byte 2\n.endif\n.ifnotdef x\n.byte 3\n.endif",
    "nop\n.org 8\nret\n.org 0x10, 0xcc\nx: nop\n.org x + 4, 1\nnop\n.org . + 2\nret",
    "nop\n.type _start, @function\n.size _start, . - _start\n.file \"a.c\"\n.extern printf\n.ident \"x\"\nret",
    "nop\n.end\nfrob",
]  # fmt: skip


@pytest.mark.parametrize("source", CASES, ids=[repr(source)[1:50] for source in CASES])
@pytest.mark.skipif(not shutil.which("as"), reason="binutils (as) is not installed")
def test_macros_mean_what_they_mean_to_gnu_as(assembler: Assembler, source: str, tmp_path: Path) -> None:
    """Arguments with and without names, defaults, \\@, nesting, repetition over lists, conditions about text."""
    source = f"_start:\n{source}"
    image = assembler.assemble(source, "t.asm")
    assert code(assembler, source) == gnu(source, image, "intel", tmp_path)[".text"].hex()


ATT = """
.macro put to, from=$0
movq \\from, \\to
.endm
.macro exit status
movq $60, %rax; movq \\status, %rdi
syscall
.endm
_start:
put %rax
put %rbx, $5
put %rcx, %rdx
put to=%rsi, from=8(%rdi)
put (%rdi), %rax
.irp r, %rax, %rbx
pushq \\r
.endr
.irp r, ax, bx
popq %r\\r
.endr
exit $3
"""


@pytest.mark.skipif(not shutil.which("as"), reason="binutils (as) is not installed")
def test_macros_in_att_syntax(assembler: Assembler, tmp_path: Path) -> None:
    """Registers, immediates and addresses as arguments; statements that semicolons separate."""
    image = assembler.assemble(ATT, "t.s", syntax="att")
    assert image.sections[0].data == gnu(ATT, image, "att", tmp_path)[".text"]


def test_a_macro_bomb_is_one_error(assembler: Assembler) -> None:
    """Macros that use themselves, each other twice, or repetitions inside one another, however they grow."""
    forever = ".macro m\nnop\nm\n.endm\nm\nfrob"
    assert mistakes(assembler, forever) == ["3:1 files, blocks and macros are nested more than 120 deep"]
    doubling = "".join(f".macro m{n}\nm{n + 1}\nm{n + 1}\n.endm\n" for n in range(40)) + "m0\nfrob\nm0"
    assert [m.partition(" ")[2] for m in mistakes(assembler, doubling)] == [
        "macro m38 makes more than 32768 statements or 8 MiB of text"
    ]
    longer = ".macro m x\n.if 1\nm \\x\\x\n.endif\n.endm\nm aaaaaaaa"
    assert [m.partition(" ")[2] for m in mistakes(assembler, longer)] == [
        "the arguments of macro m are longer than 16384 characters"
    ]
    assert len(mistakes(assembler, ".rept 10000\n.irp x, 1, 2, 3, 4\n.byte \\x\n.byte \\x\n.endr\n.endr")) == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (".macro\n.endm\nnop", ["1:7 a name for the macro expected"]),
        ("nop\n.macro m a\nnop", ["2:1 .macro without .endm"]),
        (".macro m a, a\n.endm\nnop", ["1:13 two parameters are called a"]),
        (".macro m a:req\n.endm\nnop\nm", ["4:2 macro m needs a value for a"]),
        (".macro m a\n.endm\nnop\nm 1, 2", ["4:6 macro m takes 1 argument, '2' is left over"]),
        ("nop\n.exitm", ["2:1 .exitm outside of a macro"]),
        ("nop\n.endm", ["2:1 .endm outside of a block"]),
        ("nop\n.irp\n.endr", ["2:5 .irp needs a name and values: .irp reg, rax, rbx"]),
        ("nop\n.ifc a\n.endif", ["2:5 .ifc compares two texts: .ifc A, B"]),
        ("nop\n.org 8\n.org 4", ["3:1 .org goes back 4 bytes"]),
        ('nop\n.error "no good"', ["2:1 no good"]),
    ],
)
def test_a_macro_that_is_wrong_says_where(assembler: Assembler, source: str, expected: list[str]) -> None:
    """One mistake, at the directive or the use."""
    assert mistakes(assembler, source) == expected


def test_a_mistake_in_a_macro_shows_the_expanded_line_and_the_uses(assembler: Assembler) -> None:
    """The line of the macro with its arguments put in, then where each macro is used, from the inside out."""
    load = ".macro load r, x\n    mov \\r, \\x\n.endm\n"
    source = load + ".macro both x\nload rax, \\x\nload rbx, \\x\n.endm\nnop\n  both cuont\ncount: nop"
    with pytest.raises(AsmError) as caught:
        assembler.assemble(source, "t.asm")
    assert str(caught.value) == (
        "t.asm:2:14: error: undefined symbol cuont\n"
        "        mov rax, cuont\n"
        "                 ^\n"
        "    hint: did you mean count?\n"
        "t.asm:5: in macro load, used here\n"
        "t.asm:9: in macro both, used here"
    )


def test_lines_of_a_macro_are_those_of_its_use(assembler: Assembler) -> None:
    """A debugger steps over a macro as over one statement of the program; a repetition has lines of its own."""
    image = assembler.assemble(".macro m\nnop\nnop\n.endm\nret\nm\n.irp r, 1, 2\n.byte \\r\n.endr", "t.asm")
    assert [(line.address & 0xFF, line.line) for line in image.lines] == [(0, 5), (1, 6), (2, 6), (3, 8), (4, 8)]
