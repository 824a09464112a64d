"""emu.asm: what source means, which mistakes are reported where, and that no input can hurt."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_asm_gas import ATT, INTEL

from emu import disasm
from emu.asm import AsmError, Assembler, Syntax, listing


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def code(assembler: Assembler, text: str) -> str:
    """The bytes of .text in hexadecimal."""
    image = assembler.assemble(text, "t.asm")
    return next(s.data for s in image.sections if s.name == ".text").hex(" ")


def mistakes(assembler: Assembler, text: str) -> list[str]:
    """`line:col message` of every mistake."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble(text, "t.asm")
    return [f"{e.line}:{e.column} {e.message}" for e in caught.value.errors]


def test_decimals_are_decimal(assembler: Assembler) -> None:
    """`mov rax, 60` is 60, whatever was assembled before."""
    assembler.assemble(".att_syntax\nmovq $0x10, %rax\n", "t.s")
    assert code(assembler, "mov rax, 60") == "48 c7 c0 3c 00 00 00"


def test_the_system_interface_is_known_by_name(assembler: Assembler) -> None:
    """Constants need no definition; one in the source wins."""
    assert code(assembler, "mov eax, SYS_write\nmov edx, PROT_READ|PROT_WRITE") == "b8 01 00 00 00 ba 03 00 00 00"
    assert code(assembler, "mov eax, SYS_odfork") == "b8 d0 07 00 00"
    assert code(assembler, "SYS_write = 7\nmov eax, SYS_write") == "b8 07 00 00 00"


def warnings(assembler: Assembler, source: str) -> list[str]:
    found: list[str] = []
    assembler.assemble(source, "t.asm", warn=found.append)
    return [text.partition(": warning")[0] for text in found]


def test_a_length_defined_below_its_use_is_a_number(assembler: Assembler) -> None:
    """It is what everybody means. GNU as would read memory at that address here, so a warning says that it does."""
    below = 'mov rdx, len\nmov eax, 1 + len\n.data\nm: .ascii "abc"\nlen = . - m'
    assert code(assembler, below) == "48 c7 c2 03 00 00 00 b8 04 00 00 00"
    assert warnings(assembler, below) == ["t.asm:1:10", "t.asm:2:10"]
    assert warnings(assembler, "C = D\nD = 5\n.rept 3\nmov eax, C\n.endr\npush C") == ["t.asm:4:10", "t.asm:6:6"]


@pytest.mark.parametrize(
    "source",
    [
        'mov rdx, e - m\n.data\nm: .ascii "abc"\ne:',
        'mov rdx, offset len\n.data\nm: .ascii "abc"\nlen = . - m',
        '.data\nm: .ascii "abc"\nlen = . - m\n.text\nmov rdx, len',
        "mov rax, x\ny = x + 8\nmov rax, y\nx: .quad 1",
        "mov eax, SYS_write\njmp len\nlen = 0x401000",
        ".att_syntax\nmov $len, %eax\nmov len, %eax\nlen = 5",
    ],
)
def test_what_gnu_as_reads_alike_brings_no_warning(assembler: Assembler, source: str) -> None:
    """Differences of labels, labels, numbers that are known by then, AT&T syntax."""
    assert warnings(assembler, source) == []


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("mov rax, [rel x]\nx:", "48 8b 05 00 00 00 00"),
        ("mov byte [rdi], 7", "c6 07 07"),
        ("mov rax, [fs:0x28]", "64 48 8b 04 25 28 00 00 00"),
        ("jmp $", "eb fe"),
        ("nop // comment\nnop ; comment\nnop # comment", "90 90 90"),
        ("mov al, ';'\nmov al, '#'\nmov al, '\"'", "b0 3b b0 23 b0 22"),
        ("MOV RAX, QWORD PTR [RBX]", "48 8b 03"),
        ("a: b: 1: nop\njmp 1b", "90 eb fd"),
        ("lock\nadd [rdi], eax", "f0 01 07"),
        ("call f@PLT\nf: ret", "e8 00 00 00 00 c3"),
        ("mov rax, end - start\nstart: nop\nend:", "48 c7 c0 01 00 00 00 90"),
        ("iret", "cf"),
        ("nop\r\nnop\r\n", "90 90"),
    ],
)
def test_spellings_beyond_gnu_as(assembler: Assembler, text: str, data: str) -> None:
    """What people write for NASM, MASM or on other systems, where it has one meaning."""
    assert code(assembler, text) == data


def test_sections_have_pages_and_rights_of_their_own(assembler: Assembler) -> None:
    """Code R-X, constants R--, data RW-, zeros RW- without bytes; symbols and lines point at them."""
    image = assembler.assemble(
        ".bss\nz: .skip 5000\n.data\nd: .quad 1\n.rodata\nr: .byte 2\n.text\nnop\n_start: ret\n", "t.asm"
    )
    assert [(s.name, s.vaddr, len(s.data), s.memsz, s.flags) for s in image.sections] == [
        (".text", 0x401000, 2, 2, 5),
        (".rodata", 0x402000, 1, 1, 4),
        (".data", 0x403000, 8, 8, 6),
        (".bss", 0x404000, 0, 5000, 6),
    ]
    assert image.entry == 0x401001
    assert image.symbols == {"z": 0x404000, "d": 0x403000, "r": 0x402000, "_start": 0x401001}
    assert [(n.address, n.length, n.line, n.code) for n in image.lines] == [
        (0x401000, 1, 8, True),
        (0x401001, 1, 9, True),
        (0x402000, 1, 6, False),
        (0x403000, 8, 4, False),
        (0x404000, 5000, 2, False),
    ]


def test_common_symbols_are_zeros_in_bss(assembler: Assembler) -> None:
    """.comm and .lcomm, wherever they stand, with and without an alignment."""
    image = assembler.assemble(".lcomm buffer, 5\n_start: nop\n.comm table, 64, 32\nlea rax, [rip + table]", "t.s")
    assert [(s.name, s.data.hex(), s.memsz) for s in image.sections] == [
        (".text", "90488d0518100000", 8),
        (".bss", "", 96),
    ]
    assert image.symbols == {"buffer": 0x402000, "_start": 0x401000, "table": 0x402020}


def test_without_start_the_first_instruction_is_the_entry(assembler: Assembler) -> None:
    """Data in front of the code is not run."""
    assert assembler.assemble(".quad 1\nmain: nop", "t.asm").entry == 0x401008


def test_the_listing_shows_address_bytes_and_source(assembler: Assembler) -> None:
    """One row per line, long data in rows of eight bytes."""
    text = 'x: nop\n  .ascii "0123456789"  # ten\n.bss\n.skip 3\n'
    assert listing(assembler.assemble(text, "t.asm")) == (
        "  401000  90                           1  x: nop\n"
        '  401001  30 31 32 33 34 35 36 37      2    .ascii "0123456789"  # ten\n'
        "  401009  38 39\n"
        "                                       3  .bss\n"
        "  402000  3 zero bytes                 4  .skip 3\n"
    )


def test_an_error_shows_file_line_column_source_and_caret(assembler: Assembler) -> None:
    """The text is complete for a terminal, and lists every mistake of the file."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble("nop\n\tmov rax, nowhere\n  jmp 3b\n", "dir/t.asm")
    assert str(caught.value) == (
        "dir/t.asm:2:11: error: undefined symbol nowhere\n    \tmov rax, nowhere\n    \t         ^\n"
        "dir/t.asm:3:7: error: no label 3: before this\n      jmp 3b\n          ^\n"
        "    hint: 3f means the next 3: further down"
    )
    with pytest.raises(AsmError) as caught:
        assembler.assemble("nop\n\tmov rax, nowhere\n mov rbx, neither", "dir/t.asm")
    assert str(caught.value) == (
        "dir/t.asm:2:11: error: undefined symbol nowhere\n    \tmov rax, nowhere\n    \t         ^\n"
        "dir/t.asm:3:11: error: undefined symbol neither\n     mov rbx, neither\n              ^"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: nop\na: nop", ["2:1 label a is already defined in line 1"]),
        ("mov [rdi], 7", ["1:5 the size of this memory operand is not clear"]),
        ("movzx eax, [rdi]", ["1:12 the size of this memory operand is not clear"]),
        ("mov rax, rip", ["1:10 rip is not an operand; only [rip + ...] can name it"]),
        ("mov rax, [rax+rbx+rcx]", ["1:10 more than two registers in an address"]),
        ("mov rax, [rsp*2]", ["1:11 rsp cannot be an index"]),
        ("mov rax, [rsp+rsp]", ["1:11 rsp cannot be an index"]),
        ("mov rax, [rbx*3]", ["1:10 scale 3 is not 1, 2, 4 or 8"]),
        ("mov rax, [rbx+0x80000000]", ["1:10 displacement 0x80000000 does not fit into 32 bits"]),
        ("mov rax, [rbx+ecx]", ["1:15 rbx and ecx differ in size"]),
        ("mov rax, 18446744073709551616", ["1:10 18446744073709551616 does not fit into 64 bits"]),
        ("mov rax, 10h", ["1:10 10h is not a number"]),
        ("mov rax, 08", ["1:10 08 is not a number (a leading 0 means octal)"]),
        ("nop\nmov rax, 1/0", ["2:11 division by zero"]),
        ("nop\n.byte 256", ["2:1 value 0x100 does not fit into 1 byte"]),
        ("nop\nx: .long x * 0x1000", ["2:4 value 0x401001000 does not fit into 4 bytes"]),
        ("push 0x80000000", ["1:6 push takes a sign-extended 32-bit number, 0x80000000 is none"]),
        ("jrcxz x\n.skip 200\nx:", ["1:1 target is 200 bytes away, which this branch does not reach"]),
        ("lock mov [rdi], eax", ["1:1 lock cannot stand before this mov"]),
        ("lock add eax, ebx", ["1:1 lock cannot stand before this add"]),
        ("rep add eax, ebx", ["1:1 rep cannot stand before add"]),
        (
            ".section mine\nnop",
            ['1:1 section mine needs flags: .section mine,"a" (read), "aw" (write) or "ax" (execute)'],
        ),
        ('.bss\n.ascii "x"', ["2:1 .ascii in .bss, which has no bytes in the file"]),
        ('.ascii "x', ["1:8 string never ends"]),
        ('.ascii "\\q"', ["1:8 unknown or too long escape \\q in a string"]),
        (".incbin \"/etc/passwd\"", ["1:1 .incbin reads a host file, which assembling must not"]),
        (
            ".include \"/etc/passwd\"",
            ["1:10 /etc/passwd is not a path below the including file's directory or userland/include"],
        ),
        ("section .text", ["1:1 section is NASM syntax"]),
        (".frobnicate 1", ["1:1 unknown directive .frobnicate"]),
        ("nop\n.skip -1", ["2:1 negative count -1"]),
        ("nop\n.align 3", ["2:1 alignment 3 is not a power of two up to 67108864"]),
        ("nop\n.skip 1<<40", ["2:1 the image is too large: 0x10000000001 bytes, the limit is 0x4000000"]),
        ("x: .skip y\ny = 10 - (. - x)\nnop", ["1:0 sizes and addresses never settle"]),
        ("nop /* x", ["1:5 comment /* never ends"]),
        ("# nothing", ["1:0 nothing to run: neither a label _start nor an instruction"]),
        ("mov rax, " + "(" * 1000 + "1", ["1:60 expression is nested too deeply"]),
        ("mov eax, 0x1ffffffff", None),
        ("mov al, 0x1ff", None),
        ("add rax, 0xffffffff", None),
        ("frob rax", None),
        ("mov rax", None),
        ("mov rax, rbx, rcx", None),
        ("mov eax, rbx", None),
        ("mov ah, r8b", None),
        ("shl rax, 256", None),
        ("int 0x180", None),
        ("vaddps zmm0, zmm1, zmm2", None),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_where_it_is(assembler: Assembler, text: str, expected: list[str] | None) -> None:
    """Line, column and words; None where the words are Keystone's."""
    found = mistakes(assembler, text)
    assert found == expected if expected else all(f.startswith("1:") for f in found)


HANGS_AND_KILLS = [
    ":", ",", "[", "]", "(", "@", "%", "$", "1", "=", "\\", "\x00", "é", "jmp", "1:2", "= 5", "x =", "st(",
    "mov ah, r8b", "mov rax, [", "mov rax,", "mov ,rax", "mov rax, 'ab", "mov rax, [rbx", "mov rax, {1}",
    ".byte 1-,2", ".quad 0x11223344556677889", ".ascii 'x", ".ascii 'x'", ".octa -", ".equ", ".equ x", ".section",
    ".fill 0x7fffffff, 8, 1", ".zero 0xffffffffffffffff", ".align 0x40000000", ".p2align 63", ".org 0x7fffffff",
    ".rept 0x7fffffff", ".macro m", ".if 1", "%define x 1",
]  # fmt: skip


@pytest.mark.parametrize("line", HANGS_AND_KILLS, ids=ascii)
def test_no_line_hangs_or_kills(assembler: Assembler, line: str) -> None:
    """What hangs or kills Keystone when given to it is an error with its line here (or nothing at all)."""
    try:
        assembler.assemble(f"nop\n{line}\nnop\n", "t.asm")
    except AsmError as error:
        assert {e.line for e in error.errors} == {2}
        assert all(e.file == "t.asm" and e.message.isprintable() for e in error.errors)


def test_mutated_lines_get_an_image_or_errors_with_lines(assembler: Assembler) -> None:
    """2,000 typos in good lines of both syntaxes: every answer is an Image or an AsmError for that line."""
    rng = random.Random(7)
    alphabet = "abcrx0123456789[](){}%$*+-,:;.#\"'/\\ \t@=<>|&^~!é"
    refused = 0
    for n in range(2000):
        syntax: Syntax = "att" if n % 2 else "intel"
        line = _mutate(rng, rng.choice((ATT if n % 2 else INTEL).split("\n")), alphabet)
        try:
            assembler.assemble(f"x: y: z: nop\n{line}\nmsg1: counter1: nop", "t.s", syntax=syntax)
        except AsmError as error:
            refused += 1
            assert {e.line for e in error.errors} <= {2, 3}
            assert all(e.message.isprintable() for e in error.errors)
    assert 200 < refused < 1800


def _mutate(rng: random.Random, line: str, alphabet: str) -> str:
    at = rng.randrange(len(line) + 1)
    choice = rng.randrange(3)
    if choice == 0:
        return line[:at] + rng.choice(alphabet) + line[at:]
    return line[:at] + line[at + 1 :] if choice == 1 else line[:at] + rng.choice(alphabet) + line[at + 1 :]


def test_assembling_reads_no_file(assembler: Assembler, tmp_path: Path) -> None:
    """A secret in a file does not get into an image by any spelling."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET")
    for line in (f'.incbin "{secret}"', f'.INCBIN "{secret}"', f'nop; .incbin "{secret}"', f'x: .incbin "{secret}"'):
        try:
            image = assembler.assemble(f"nop\n.att_syntax\n{line}\n", "t.s")
        except AsmError:
            continue
        assert all(b"SECRET" not in s.data for s in image.sections)
