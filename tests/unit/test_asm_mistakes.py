"""emu.asm: the mistakes people make, each with its place, its words and its hint, in the three syntaxes."""

from collections.abc import Iterator

import pytest

from emu import disasm
from emu.asm import AsmError, Assembler, Syntax
from emu.asm.errors import SHOWN, Mistake
from emu.asm.hints import nearest


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def told(assembler: Assembler, source: str, syntax: Syntax = "intel") -> list[str]:
    """`line:column message | hint` of every mistake."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble(source, "t.asm", syntax=syntax)
    found = [e for e in caught.value.errors if isinstance(e, Mistake)]
    assert len(found) == len(caught.value.errors)
    return [f"{e.line}:{e.column} {e.message}" + (f" | {e.hint}" if e.hint else "") for e in found]


UNCLEAR = "the size of this memory operand is not clear"
HAS = "has print, print_number, strlen, itoa and exit"
SAY_PTR = "say byte ptr, word ptr, dword ptr or qword ptr before it"
INTEL = [
    ("start: nop\njmp strat", "2:5 undefined symbol strat | did you mean start?"),
    ("mov rax, SYS_wirte", "1:10 undefined symbol SYS_wirte | did you mean SYS_write?"),
    ("mov eax, PROT_RAED", "1:10 undefined symbol PROT_RAED | did you mean PROT_READ?"),
    ("nop\nlea rsi, [rip + msg]\n.data\nmsgg: .byte 1", "2:17 undefined symbol msg | did you mean msgg?"),
    ("mov raxx, 1", "1:5 undefined symbol raxx | did you mean the register rax?"),
    ("mov rax, ebbx", "1:10 undefined symbol ebbx | did you mean the register ebx?"),
    ("mov rax, zmm1", "1:10 undefined symbol zmm1 | this is a register of AVX-512, which this machine does not have"),
    ("mov eax, rbx", "1:1 eax has 32 bits, rbx has 64 bits | use rax or ebx"),
    ("mov rax, ebx", "1:1 rax has 64 bits, ebx has 32 bits | use eax or rbx"),
    ("mov [r15], ah", "1:1 ah does not go with r15 | mov it to al first"),
    ("add bh, sil", "1:1 bh does not go with sil | mov it to bl first"),
    ("mov ch, [rax + r9*2]", "1:1 ch does not go with r9 | mov it to cl first"),
    ("movzx rax, ah", "1:1 ah does not go with rax | mov it to al first"),
    ("movzx r10d, dh", "1:1 dh does not go with r10d | mov it to dl first"),
    ("mov [rdi], 7", f"1:5 {UNCLEAR} | {SAY_PTR}"),
    ("inc [rdi]", f"1:5 {UNCLEAR} | {SAY_PTR}"),
    ("mov [rdi], [rsi]", "1:1 mov cannot have two memory operands | load one of them into a register first"),
    (
        "mov byte ptr [rdi], msg\nmsg: nop",
        "1:1 mov cannot have two memory operands | msg means the memory there; its address is `offset msg`, "
        "or lea a register, [rip + msg] first",
    ),
    (
        "mov [rdi], msg\nmsg: nop",
        "1:1 mov cannot have two memory operands | msg means the memory there; its address is `offset msg`, "
        "or lea a register, [rip + msg] first",
    ),
    (
        "add qword ptr [rdi], qword ptr [rsi]",
        "1:1 add cannot have two memory operands | load one of them into a register first; the address of a "
        "label is `offset LABEL`",
    ),
    (
        "mov 5, rax",
        "1:1 the destination of mov is a number | mov DESTINATION, SOURCE; memory at an address is [ADDRESS]",
    ),
    (
        "add 5, rax",
        "1:1 the destination of add is a number | add DESTINATION, SOURCE; memory at an address is [ADDRESS]",
    ),
    ("push eax", "1:1 push of 32 bits does not exist in 64-bit code | use rax"),
    ("pop ecx", "1:1 pop of 32 bits does not exist in 64-bit code | use rcx"),
    ("push al", "1:1 push of 8 bits does not exist in 64-bit code | use rax"),
    ("mov al, 300", "1:1 300 does not fit into al, which has 8 bits | from -128 to 255"),
    ("mov ax, 70000", "1:1 70000 does not fit into ax, which has 16 bits | from -32768 to 65535"),
    (
        "mov eax, 0x1ffffffff",
        "1:1 0x1ffffffff does not fit into eax, which has 32 bits | from -2147483648 to 4294967295",
    ),
    (
        "add rax, 0xffffffff",
        "1:1 add takes a sign-extended 32-bit number, 0xffffffff is none | put the number into a register "
        "first: mov REGISTER, NUMBER",
    ),
    ("add al, -200", "1:1 -200 does not fit into al, which has 8 bits | from -128 to 255"),
    ("shl rax, rcx", "1:1 shl takes its count from cl or a number, not from rcx | mov the count into cl first"),
    ("shl rax, 256", "1:1 256 is not a shift count | shifts by 0 to 63"),
    (
        "lea rdi, rsi",
        "1:1 lea needs an address in brackets as its second operand | lea rsi, [rip + LABEL]; mov copies a value",
    ),
    ("lea rdi, 5", "1:10 lea takes an address in brackets, not a number"),
    ("movzx eax, ecx", "1:1 movzx extends 8 or 16 bits | a 32-bit mov clears the upper half of eax"),
    ("int 0x180", "1:1 0x180 is not an interrupt number | 0 to 0xff; system calls are made by `syscall`"),
    ("mov rax", "1:1 mov takes 2 operands, not 1 | mov DESTINATION, SOURCE: is a comma missing?"),
    ("mov rax, rbx, rcx", "1:1 mov takes 2 operands, not 3"),
    ("ret 1, 2", "1:1 ret takes 0 or 1 operands, not 2"),
    ("syscall 5", "1:1 syscall takes no operands, not 1"),
    ("jmp", "1:1 jmp takes 1 operand, not 0"),
    ("inc rax, rbx", "1:1 inc takes 1 operand, not 2"),
    ("mul rax, rbx", "1:1 mul takes 1 operand, not 2"),
    ("mov rax rbx", "1:9 unexpected 'rbx' | is a comma missing before rbx?"),
    ("add rax 5", "1:9 unexpected '5' | is a comma missing before 5?"),
    ("mov, rax, rbx", "1:4 a value expected, found ','"),
    ("mov rax,, rbx", "1:9 a value expected, found ','"),
    ("mov rax, [rbx", "1:14 ']' expected"),
    ("mov rax, rbx]", "1:13 unexpected ']'"),
    ("mov rax, [rbx + ]", "1:17 a value expected, found ']'"),
    ("mov rax, (5", "1:12 ')' expected"),
    ("mov rax, [rbx*3]", "1:10 scale 3 is not 1, 2, 4 or 8"),
    ("mov rax, [rbx + rcx + rdx]", "1:10 more than two registers in an address"),
    ("mov rax, [rsp*2]", "1:11 rsp cannot be an index"),
    ("mov rax, [al]", "1:11 al cannot address memory"),
    ("mov rax, [rbx - rcx]", "1:17 register rcx cannot be subtracted"),
    ("mov rax, rip", "1:10 rip is not an operand; only [rip + ...] can name it"),
    ("frob rax", "1:1 unknown instruction frob"),
    ("syscal", "1:1 unknown instruction syscal | did you mean syscall? A label would end with a colon: syscal:"),
    ("mvo rax, 5", "1:1 unknown instruction mvo | did you mean mov?"),
    ("addd rax, 5", "1:1 unknown instruction addd | did you mean add?"),
    ("jmpp x\nx: nop", "1:1 unknown instruction jmpp | did you mean jmp?"),
    ("start\nnop", "1:1 unknown instruction start | is start a label? Labels end with a colon: start:"),
    (
        'msg .ascii "x"',
        "1:1 unknown instruction msg | is msg a label? Labels end with a colon: msg:",
    ),
    (
        "_start\nnop",
        "1:1 an instruction, a label or a directive expected, found '_start' | is _start a label? Labels end with a "
        "colon: _start:",
    ),
    ("mov rsi, &x\nx: nop", "1:10 a value expected, found '&' | the address of x is `offset x`, or lea of [rip + x]"),
    ("pusha", "1:1 pusha does not exist in 64-bit code"),
    ("into", "1:1 into does not exist in 64-bit code"),
    ("x: nop\nx: nop", "2:1 label x is already defined in line 1"),
    ("rax: nop", "1:1 register rax cannot be a label | registers are reserved words: choose another name"),
    ("rax = 5", "1:1 register rax cannot be assigned"),
    ("near: nop", "1:1 near cannot be a label | near is a reserved word: nothing can be called so, near_ could"),
    ("Shl: nop", "1:1 Shl cannot be a label | Shl is a reserved word: nothing can be called so, Shl_ could"),
    ("word = 5", "1:1 word cannot be assigned | word is a reserved word: nothing can be called so, word_ could"),
    (".equ ptr, 5", "1:6 ptr cannot be assigned | ptr is a reserved word: nothing can be called so, ptr_ could"),
    (".comm far, 8\nnop", "1:7 far cannot be a label | far is a reserved word: nothing can be called so, far_ could"),
    (
        ".quad offset\nnop",
        "1:7 a value expected, found 'offset' | offset is a reserved word: nothing can be called so, offset_ could",
    ),
    ("call ax", "1:1 call to an address of 16 bits does not exist in 64-bit code | use rax"),
    ("jmp dword ptr [rax]", "1:1 jmp to an address of 32 bits does not exist in 64-bit code | say qword ptr"),
    (
        "mov rax, [0x80000000]",
        "1:10 displacement 0x80000000 does not fit into 32 bits | movabs takes 64 bits, to and from al, ax, eax or rax "
        "only",
    ),
    ("mov ax, dword ptr 5", "1:9 ax has 16 bits, the number behind it 32"),
    ("inc dword ptr 5", "1:1 inc takes a register or memory, not a number | put the number into a register first"),
    (
        ".fill 1, 8, -1\nnop",
        "1:1 value -0x1 does not fit into the lower 4 of 8 bytes, the only ones .fill sets | .rept N, .quad VALUE and "
        ".endr repeat any number",
    ),
    (".text 1\nnop", "1:7 subsections are not supported; use --assembler gas"),
    (".nops 5\nnop", "1:1 .nops is not supported; use --assembler gas"),
    ("1x: nop", "1:1 1x is not a number | names begin with a letter, numbers have digits only (hexadecimal: 0x...)"),
    ("nop\njmp 3b", "2:5 no label 3: before this | 3f means the next 3: further down"),
    ("nop\njmp 3f", "2:5 undefined label 3 | 3f means the next 3: further down, and there is none"),
    (".qaud 5", "1:1 unknown directive .qaud | did you mean .quad?"),
    (".sektion .text", "1:1 unknown directive .sektion | did you mean .section?"),
    (".aling 8", "1:1 unknown directive .aling | did you mean .align?"),
    (".asciz hello", "1:8 a string in double quotes expected, found 'hello' | write \"hello\""),
    ('.ascii "hello', '1:8 string never ends | a " closes it; a " inside is written \\"'),
    ('.ascii "\\q"', "1:8 unknown or too long escape \\q in a string"),
    (
        "mov al, 'ab'",
        "1:9 character constant is not one character between single quotes | text is written in double quotes, as data",
    ),
    (
        "mov al, '",
        "1:9 character constant is not one character between single quotes | text is written in double quotes, as data",
    ),
    (".byte 256", "1:1 value 0x100 does not fit into 1 byte"),
    (".byte 1 2", "1:9 unexpected '2' | is a comma missing before 2?"),
    (".byte", "1:6 a value expected"),
    (".quad x y", "1:9 unexpected 'y' | is a comma missing before y?"),
    (".section mine", '1:1 section mine needs flags: .section mine,"a" (read), "aw" (write) or "ax" (execute)'),
    ('.incbin "x"', "1:1 .incbin reads a host file, which assembling must not"),
    (".code32", "1:1 .code32 switches to 32-bit code; only 64-bit code runs here"),
    (".bss\n.byte 1", "2:1 .byte in .bss, which has no bytes in the file"),
    (".align 3", "1:1 alignment 3 is not a power of two up to 67108864"),
    (".skip -1", "1:1 negative count -1"),
    ("section .text", "1:1 section is NASM syntax | this looks like NASM: use --syntax nasm"),
    ("msg db 5", "1:5 db is NASM syntax | here that is .byte, or .ascii for text; --syntax nasm reads NASM source"),
    ("buf resb 5", "1:5 resb is NASM syntax | here that is .skip N; --syntax nasm reads NASM source"),
    ("len equ 5", "1:5 equ is NASM syntax | here that is NAME = VALUE; --syntax nasm reads NASM source"),
    ("global _start", "1:1 global is NASM syntax | this looks like NASM: use --syntax nasm"),
    (
        "%define X 5",
        "1:1 an instruction, a label or a directive expected, found '%' | this looks like NASM: use --syntax nasm",
    ),
    ("mov rax, 10h", "1:10 10h is not a number | write 0x10; 10h is NASM's spelling (--syntax nasm)"),
    ("mov rax, 1010b", "1:10 no label 1010: before this | a binary number is written 0b1010"),
    ("mov rax, 17q", "1:10 17q is not a number | write 017; 17q is NASM's spelling (--syntax nasm)"),
    ("mov rax, [rel x]", "1:15 undefined symbol x"),
    ("times 5 nop", "1:1 times is NASM syntax | here that is .rept or .fill; --syntax nasm reads NASM source"),
    ("extern printf", "1:1 extern is NASM syntax | this looks like NASM: use --syntax nasm"),
    ("mov rax, 08", "1:10 08 is not a number (a leading 0 means octal)"),
    ("mov rax, 99999999999999999999", "1:10 99999999999999999999 does not fit into 64 bits"),
    (
        "mov %rax, %rbx",
        "1:5 a value expected, found '%' | this looks like AT&T syntax: write .att_syntax before it, or use "
        "--syntax att",
    ),
    (
        "movq $5, %rax",
        "1:7 unexpected '5' | this looks like AT&T syntax: write .att_syntax before it, or use --syntax att",
    ),
    (
        "mov $5, rax",
        "1:6 unexpected '5' | this looks like AT&T syntax: write .att_syntax before it, or use --syntax att",
    ),
    (
        "movl 8(%rdi), %eax",
        "1:7 unexpected '(' | this looks like AT&T syntax: write .att_syntax before it, or use --syntax att",
    ),
    (
        "mov rax, 5 % %rbx",
        "1:14 a value expected, found '%' | this looks like AT&T syntax: write .att_syntax before it, or use "
        "--syntax att",
    ),
    ("lock mov [rdi], eax", "1:1 lock cannot stand before this mov"),
    ("rep add eax, ebx", "1:1 rep cannot stand before add"),
    ("lock\n", "1:1 a prefix without an instruction"),
    ("call [rdi", "1:10 ']' expected"),
    ("call printf", f"1:6 undefined symbol printf | there is no C library here; lab.inc {HAS}"),
    ("jmp far x", "1:5 far branches are not supported"),
    (
        "vaddps zmm0, zmm1, zmm2",
        "1:1 AVX is not available in this machine, so vaddps cannot run; use addps",
    ),
    (
        "vaddps ymm0, ymm1, ymm2",
        "1:1 AVX is not available in this machine, so vaddps cannot run; use addps",
    ),
    (
        "mov rax, xmm0",
        "1:1 mov works on general registers and memory | for vector registers there is movq, movaps or movups",
    ),
    (
        "add xmm0, xmm1",
        "1:1 add works on general registers and memory | for vector registers there is addss, addsd or paddq",
    ),
    ("movaps xmm0, eax", "1:1 no form of movaps takes these operands: movaps xmm0, eax"),
    ("mov rax, 1/0", "1:11 division by zero"),
    ("mov rax, 1 << 64", "1:12 shift by 64"),
    ("xor rax, rbx +", "1:15 a value expected"),
    ("mov rax, 5 5", "1:12 unexpected '5' | is a comma missing before 5?"),
    (
        'mov rax, "abc"',
        "1:10 a value expected, found 'abc' | text is data (.ascii); what goes into a register is its address",
    ),
    ("mov ds, 5", "1:1 no form of mov takes these operands: mov ds, 0x5"),
    ("nop nop", "1:5 undefined symbol nop | one instruction to a line"),
    ("mov rax, #5", "1:9 a value expected | # begins a comment; a number is written as it is"),
    ("mov rax, -", "1:11 a value expected"),
    ("mov r8d, rax", "1:1 r8d has 32 bits, rax has 64 bits | use r8 or eax"),
    ("cmp 5, rax", "1:1 the first operand of cmp is a number | cmp REGISTER, NUMBER"),
    ("xchg rax, 5", "1:1 no form of xchg takes these operands: xchg rax, 0x5"),
    ("test [rdi], [rsi]", "1:1 test cannot have two memory operands | load one of them into a register first"),
    ("bt [rdi], 5", f"1:4 {UNCLEAR} | {SAY_PTR}"),
    (
        "mov [count], 5\ncount: .quad 1",
        f"1:5 {UNCLEAR} | {SAY_PTR}",
    ),
    ("jrcxz x\n.skip 200\nx:", "1:1 target is 200 bytes away, which this branch does not reach"),
    (".if 1\nnop", "1:1 .if without .endif"),
    (".rept x\nnop\n.endr", "1:7 x is not a number that is known here"),
    (".endif", "1:1 .endif outside of a block"),
    (".macro m\nnop", "1:1 .macro without .endm"),
    ('.include "nowhere.inc"', "1:10 nowhere.inc is not found; searched: userland/include"),
    ("nop /* x", "1:5 comment /* never ends"),
    ("sete eax", "1:1 sete sets one byte | use al, and movzx before or behind it"),
    ("cmovz al, bl", "1:1 cmovz moves 16, 32 or 64 bits | use the 32-bit registers"),
    ("imul al, 5", "1:1 no form of imul takes these operands: imul al, 0x5"),
    ("div 5", "1:1 div takes a register or memory, not a number | put the number into a register first"),
    ("neg 5", "1:1 neg takes a register or memory, not a number | put the number into a register first"),
    ("call 5 + rax", "1:10 register rax inside an expression"),
    ("mov rax, offset", "1:16 a value expected"),
    ("mov rax, qword [rdi", "1:20 ']' expected"),
]

ATT = [
    ("movq rax, rbx", "1:11 register rbx without % | AT&T syntax writes %rbx; .intel_syntax noprefix switches"),
    ("mov $5, rax", "1:9 register rax without % | AT&T syntax writes %rax; .intel_syntax noprefix switches"),
    ("movl $5, %rax", "1:10 %rax does not fit the suffix of movl"),
    ("movq %raxx, %rbx", "1:7 no such register: %raxx | did you mean rax?"),
    (
        "mov rax, [rbx]",
        "1:10 a value expected, found '[' | this looks like Intel syntax: write .intel_syntax noprefix before it",
    ),
    ("movb $300, %al", "1:1 300 does not fit into al, which has 8 bits | from -128 to 255"),
    ("mov %eax, %rbx", "1:1 rbx has 64 bits, eax has 32 bits | use ebx or rax"),
    ("addq 8(%rdi, %rax", "1:18 ')' expected"),
    ("movq $msg, %rdi", "1:7 undefined symbol msg"),
    ("pushl %eax", "1:1 pushl does not exist in 64-bit code | use pushq"),
    ("frobq %rax", "1:1 unknown instruction frobq"),
    ("movq %rax %rbx", "1:11 unexpected '%' | is a comma missing before %?"),
    ("movq 5(%al), %rax", "1:8 al cannot address memory"),
    ("mov $5, (%rdi)", f"1:9 {UNCLEAR} | the mnemonic takes a suffix: b, w, l or q for 1, 2, 4 or 8 bytes"),
]

NASM = [
    ("mov rax, qword ptr [rdi", "1:24 ']' expected | this looks like GNU as: leave out --syntax nasm"),
    ("mov rax, offset msg\nmsg: nop", "1:17 unexpected 'msg' | this looks like GNU as: leave out --syntax nasm"),
    (
        ".data",
        "1:1 an instruction, a label or data expected, found '.data' | directives have no dot in NASM: "
        "section .data, db, dq, global",
    ),
    (
        ".globl _start",
        "1:1 an instruction, a label or data expected, found '.globl' | this looks like GNU as: leave out "
        "--syntax nasm",
    ),
    ("mov rax, [rdi\n", "1:14 ']' expected"),
    ("db 'abc", "1:4 string never ends | a ' closes it"),
    ("mov [rdi], 7", f"1:5 {UNCLEAR} | say byte, word, dword or qword before it"),
    ("mov rax, lenn\nlen equ 5", "1:10 undefined symbol lenn | did you mean len?"),
    (
        '.ascii "x"',
        "1:1 an instruction, a label or data expected, found '.ascii' | this looks like GNU as: leave out "
        "--syntax nasm",
    ),
    (
        "section .text\nmov rax, %rbx",
        "2:10 a value expected, found '%' | this looks like AT&T syntax: leave out --syntax nasm and write .att_syntax",
    ),
    ("mov rax, 5 # five", "1:12 unexpected character '#' | comments begin with ; in NASM"),
    ("x: nop\nx: nop", "2:1 label x is already defined in line 1"),
    ("x equ 5\nx equ 6", "2:1 label x is already defined in line 1"),
    ("db 300", "1:4 value 0x12c does not fit into 1 byte"),
    (
        "section .bss\nx: db 5",
        "2:4 db in .bss, which has no bytes in the file | resb N reserves zeros; what has a value belongs to .data",
    ),
    ("syscal", "1:1 unknown instruction syscal | did you mean syscall? A label would end with a colon: syscal:"),
    ("mvo rax, 5", "1:1 unknown instruction mvo | did you mean mov?"),
    ("mov rax rbx", "1:9 unexpected 'rbx' | is a comma missing before rbx?"),
    ("%define", "1:8 a name expected"),
    (
        "%macro m\n%endmacro",
        "1:8 a macro has a name and a number of parameters | %macro NAME 2, or NAME 1-3 with defaults behind",
    ),
    ("%macro m 1\n%endmacro\nm 1, 2", "3:1 macro m does not take 2 arguments but 1"),
    ("%if 1\nnop", "1:1 %if without %endif"),
    ("%endif", "1:1 %endif outside of a block"),
    ("%rep 5\nnop", "1:1 %rep without %endrep"),
    ("%foo", "1:1 unknown directive %foo"),
    ("%error no good", "1:1 no good"),
    ("bits 32", "1:1 only 64-bit code runs here | bits 64"),
    ('incbin "x"', "1:1 incbin reads a host file, which assembling must not"),
    ("org 100h", "1:1 org is not supported"),
    ("mov rax, 0xg", "1:10 0xg is not a number | hexadecimal is 0x10, $10 or 10h, binary 0b101 or 101b"),
    ("mov rax, 12x", "1:10 12x is not a number | hexadecimal is 0x10, $10 or 10h, binary 0b101 or 101b"),
    ("jmp .nowhere", "1:5 undefined symbol .nowhere"),
    ("times x nop", "1:7 undefined symbol x"),
    ("times -1 nop", "1:10 negative count -1"),
    ("db", "1:3 a value expected"),
    ("dd 1,,2", "1:6 a value expected, found ','"),
    ("resb", "1:5 a value expected"),
    ("mov rax, strict dword 5", "1:10 strict is not supported; use --assembler nasm"),
    ("mov rax, table[rdi]\ntable: nop", "1:15 an address is one pair of brackets in NASM | write [table + rdi*4]"),
    ("mov rax, fs:[5]", "1:12 a segment stands inside the brackets in NASM | write [fs:...]"),
    ("rax: nop", "1:1 register rax cannot be a label | registers are reserved words: choose another name"),
    ("call printf", f"1:6 undefined symbol printf | there is no C library here; lab_nasm.inc {HAS}"),
    (
        "extern printf\ncall printf",
        "2:6 undefined symbol printf | external names are those of userland/include, and none there is called so",
    ),
    ("default foo", "1:9 default foo is not known | default rel or default abs"),
    ("struc p\n.x: resb 1", "1:0 struc p without endstruc"),
    ("mov eax, 'abcdefghi'", "1:10 a string of more than eight characters is not a number"),
    (
        "movq $5, %rax",
        "1:10 a value expected, found '%' | this looks like AT&T syntax: leave out --syntax nasm and write .att_syntax",
    ),
    ("push eax", "1:1 push of 32 bits does not exist in 64-bit code | use rax"),
    ("mov byte [rdi], [rsi]", "1:1 mov cannot have two memory operands | load one of them into a register first"),
    ("%include 'nowhere.inc'", "1:10 nowhere.inc is not found; searched: userland/include"),
    ("lea rsi, [rel 5]", "1:10 rel needs a label, not a number"),
    ("section .x foo", "1:12 unknown attribute foo of a section"),
    ("global 5", "1:8 a name expected, found '5'"),
    ("mov rax, [rbx + rcx + rdx]", "1:10 more than two registers in an address"),
    ("at p.x, db 5", "1:1 at outside of istruc"),
    ("%assign x y", "1:11 y is not a number that is known here"),
    ("%rotate 1", "1:1 %rotate outside of a macro"),
    ("dt 5", "1:4 dt takes numbers with a decimal point, and strings"),
    ("db 70000 dup (0)", "1:4 dup makes 70000 elements | times N repeats a whole line"),
    ("a32 movsb", "1:1 the prefix a32 is not supported; use --assembler nasm"),
    ("rep o16 movsb", "1:5 the prefix o16 is not supported; use --assembler nasm"),
    ("fs mov rax, [rcx]", "1:1 fs is a register, not an instruction | write [fs:...]"),
    ("byte: nop", "1:1 byte cannot be a label | byte is a reserved word: nothing can be called so, byte_ could"),
    ("add rax, byte 200", "1:10 this number does not fit into a byte with a sign"),
    ("mov ax, dword 5", "1:9 ax has 16 bits, the number behind it 32"),
    ("mov dword [rax], byte 5", "1:18 the memory operand has 32 bits, the number behind it 8"),
    ("%macro m 1\nj%-1 x\n%endmacro\nm foo\nx: nop", "2:1 'foo' is not a condition such as z, ne or ae"),
    ("mov eax, __float32__(1)", "1:22 a number with a decimal point expected"),
    ("db `\\q`", "1:4 unknown or too long escape \\q in a string"),
]


@pytest.mark.parametrize(("source", "expected"), INTEL, ids=[repr(source) for source, _text in INTEL])
def test_mistakes_in_intel_syntax(assembler: Assembler, source: str, expected: str) -> None:
    """One mistake, one message."""
    assert told(assembler, source) == [expected]


@pytest.mark.parametrize(("source", "expected"), ATT, ids=[repr(source) for source, _text in ATT])
def test_mistakes_in_att_syntax(assembler: Assembler, source: str, expected: str) -> None:
    """One mistake, one message."""
    assert told(assembler, source, "att") == [expected]


@pytest.mark.parametrize(("source", "expected"), NASM, ids=[repr(source) for source, _text in NASM])
def test_mistakes_in_nasm(assembler: Assembler, source: str, expected: str) -> None:
    """One mistake, one message."""
    assert told(assembler, source, "nasm") == [expected]


def test_the_nearest_name_is_the_likeliest_typo() -> None:
    """Fewest changes, then the same first letter, then the shortest; none when too much is different."""
    assert nearest("mol", ["aol", "mov"]) == "mov"
    assert nearest("addd", ["addpd", "addsd", "add", "paddd"]) == "add"
    assert nearest("SYS_wirte", ["SYS_write", "SYS_writev"]) == "SYS_write"
    assert nearest("printf", ["print_all", "write", "exit"]) == ""
    assert nearest("x", ["y"]) == ""


def test_all_mistakes_of_a_file_come_at_once_in_its_order(assembler: Assembler) -> None:
    """What is wrong with the text, with names and with instructions, sorted by line."""
    source = "nop\n mov rax, nowhere\n mov rax, [\n frob\n .byte 300\n jmp 3b\n push eax\n"
    assert [text.partition(" ")[0] for text in told(assembler, source)] == ["2:11", "3:12", "4:2", "5:2", "6:6", "7:2"]


def test_a_mistake_brings_no_others_along(assembler: Assembler) -> None:
    """What a wrong line would have defined is not missed elsewhere, a missing name is reported at its first use."""
    assert told(assembler, 'jmp x\nmov eax, y\ny = 1 +\nx: .ascii "abc')[1:] == [
        '4:11 string never ends | a " closes it; a " inside is written \\"'
    ]
    assert told(assembler, ".macro m 5\nnop\n.endm\nm\nm") == ["1:10 a parameter expected, found '5'"]
    assert told(assembler, '.include "none.inc"\njmp helper\nprint 5') == [
        "1:10 none.inc is not found; searched: userland/include"
    ]
    assert told(assembler, 'lea rsi, [rip + mesage]\nmessage: .ascii "Hello')[0].endswith("did you mean message?")
    assert told(assembler, "jmp no\njmp no\nlea rax, [rip + no]") == ["1:5 undefined symbol no"]


def test_the_text_shows_twenty_and_counts_the_rest(assembler: Assembler) -> None:
    """A file of another kind does not flood the terminal."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble("nop\n" + "frob\n" * 35, "t.asm")
    text = str(caught.value)
    assert text.count("error:") == SHOWN == 20
    assert text.endswith("\nand 15 more mistakes")
    assert len(caught.value.errors) == 35


def test_a_message_is_complete(assembler: Assembler) -> None:
    """Place, words, line, caret, hint; tabs stay tabs, so that the caret stands where it should."""
    with pytest.raises(AsmError) as caught:
        assembler.assemble("start:\n\tjmp\tstrat ; again\n", "dir/t.asm")
    assert str(caught.value) == (
        "dir/t.asm:2:6: error: undefined symbol strat\n"
        "    \tjmp\tstrat ; again\n"
        "    \t   \t^\n"
        "    hint: did you mean start?"
    )
