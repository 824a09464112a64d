"""emu.asm against GNU as: the same source must give the same bytes at the same addresses.

Skipped by name when binutils is not installed.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu import disasm
from emu.asm import Assembler, Image, Syntax, listing

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("as", "ld", "objcopy")),
    reason="binutils (as, ld, objcopy) is not installed",
)


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def gnu(source: str, image: Image, syntax: Syntax, directory: Path) -> dict[str, bytes]:
    """Section contents by as and ld, at the addresses of `image`."""
    lead = ".intel_syntax noprefix\n" if syntax == "intel" else ""
    (directory / "a.s").write_text(lead + source + "\n")
    starts = [f"--section-start={s.name}={s.vaddr:#x}" for s in image.sections]
    subprocess.run(["as", "--64", "-o", "a.o", "a.s"], cwd=directory, check=True)
    subprocess.run(["ld", "-static", *starts, "-o", "a.out", "a.o"], cwd=directory, check=True)
    found: dict[str, bytes] = {}
    for section in image.sections:
        subprocess.run(["objcopy", "-O", "binary", "-j", section.name, "a.out", "s.bin"], cwd=directory, check=True)
        found[section.name] = (directory / "s.bin").read_bytes()
    return found


def compare(assembler: Assembler, source: str, syntax: Syntax, directory: Path) -> None:
    image = assembler.assemble(source, "corpus.s", syntax=syntax)
    theirs = gnu(source, image, syntax, directory)
    differing = [
        f"{row}   as: {theirs[s.name][line.address - s.vaddr :][: line.length].hex(' ')}"
        for s in image.sections
        for line, row in ((n, listing_row(image, n.line)) for n in image.lines)
        if s.data
        and s.vaddr <= line.address < s.vaddr + s.memsz
        and image.at(line.address, line.length) != theirs[s.name][line.address - s.vaddr :][: line.length]
    ]
    assert differing == []
    assert {s.name: s.data for s in image.sections if s.data} == {k: v for k, v in theirs.items() if v}


def listing_row(image: Image, line: int) -> str:
    return next(row for row in listing(image).split("\n") if row[34:40].strip() == str(line))


INTEL = """
N = 5
notrack jmp [QWORD PTR table[0+rdi*8]]
jmp [QWORD PTR [rax]]
mov eax, [dword ptr fs:N]
mov eax, 5 shl 2 + 1
mov eax, 1 or 2 and 3
mov eax, not 5 AND 7
mov eax, 7 mod 4 * 2
mov eax, 3 eq 3
mov eax, 256 shr 4 xor 1
mov eax, [rbx + 4 shl 1]
mov eax, !5
mov eax, -!0
mov eax, 'a
mov eax, '\\n
mov eax, dword ptr N
mov [rdi], dword ptr 5
mov [rdi], byte ptr 'a'
cmp [rdi], word ptr N
push qword ptr N
push word ptr 5
push byte ptr 5
call qword ptr N
mov rax, [rip + abs]
call abs
jmp align
int 3
int3
mov ds, ax
mov ds, rax
mov fs, r8w
mov ax, ds
mov rax, fs
mov r8, gs
movsx rax, dword ptr [rbx]
cltq
cqto
retq
leaveq
pushq 5
abs: ret
align: ret
.data
msg: .ascii "hello\\n"
.set LEN, . - msg
counter: .quad 0
table: .quad _start, msg, . - msg, _start + 8
.balign 16
vec: .float 1.0, 2.5, -3.25, 4
.text
_start: .global _start
mov rax, 60
mov rax, -1
mov rax, 0xffffffffffffffff
mov rax, 0x80000000
mov rax, 0xffffffff
mov rax, -0x80000000
mov rax, 0x7fffffff
mov eax, 60
mov eax, 0xffffffff
mov eax, -1
mov ax, 0x1234
mov al, 255
mov al, -128
mov r8b, 127
mov sil, 0x80
mov ah, 5
mov r15, r8
movabs rax, 0x1122334455667788
movabs rax, 5
mov rbx, [0x1000]
mov rbx, ds:[0x1000]
mov rbx, fs:[0x28]
mov rax, fs:[0]
mov fs:[0x10], rax
mov qword ptr gs:[rax+8], 5
mov rax, [rbx+rcx*8+0x10]
mov rax, [rbx+rcx*8-0x10]
mov rax, [rcx*8+0x12345]
mov rax, [rcx*8]
mov rax, [rsp]
mov rax, [rsp+8]
mov rax, [rbp]
mov rax, [rbp+r13]
mov rax, [r12]
mov rax, [r13]
mov rax, [rax+rsp]
mov rax, [rbx+127]
mov rax, [rbx+128]
mov rax, [rbx-128]
mov rax, [rbx-129]
mov rax, -8[rbp]
mov rax, [rbx][rcx]
mov rax, [rbx+8][rcx*4]
mov eax, [eax]
mov eax, [r8d+ecx*2+4]
mov byte ptr [rdi], 7
mov BYTE PTR [rdi], 7
mov word ptr [rdi], 0x1234
mov dword ptr [rdi], -1
mov qword ptr [rdi], -1
mov QWORD PTR [rdi+8], 0x7fffffff
lea rsi, [rip+msg]
lea rsi, msg[rip]
lea rsi, [rip+msg+4]
lea rax, [rbx+rcx*2]
lea rax, [rdi-1]
mov rax, [rip+counter]
mov qword ptr [rip+counter], 5
mov dword ptr counter[rip], 0x12345678
cmp qword ptr [rip+counter], 5
cmp byte ptr [rip+counter+1], 5
mov rax, [rip+5]
mov rbx, counter
mov counter, rbx
mov ecx, table[rdi*4]
mov ecx, [table+rdi*4]
mov al, [msg+rcx]
mov rsi, offset msg
mov esi, offset msg
mov rsi, OFFSET FLAT:msg+1
mov qword ptr [rbx], offset msg
push offset msg
push 0xffff
push -1
push 5
push 127
push 128
push -128
push -129
push 0x7fffffff
push rax
push r12
push qword ptr [rax]
push [rax]
pop qword ptr [rax]
pop r15
push fs
pop gs
add rax, 5
add rax, 128
add rax, -128
add eax, 0x12345
add ax, 0x7fff
add al, 5
add rax, [rbx]
add [rbx], rax
add dword ptr [rbx], 1000
sub rsp, 128
sub rsp, 8
and eax, 0xfffffff0
and rsp, -16
and rax, 0xfffffffffffffff0
or rax, 1
xor edi, edi
xor r9d, r9d
cmp rax, -4095
cmp al, 10
cmp byte ptr [rsi], 0
test rax, rax
test al, 1
test eax, 0x100
test byte ptr [rdi], 1
test rbx, [rcx]
inc rax
dec dword ptr [rdi]
neg rcx
not r8
mul rbx
imul rax, rbx
imul rax, rbx, 5
imul rax, rbx, 500
imul rax, 5
imul rax, [rbx], 12
div rcx
idiv qword ptr [rbx]
shl rax, 1
shl rax, 12
shr eax, cl
sar rcx, 63
rol byte ptr [rdi], 3
shl dword ptr [rdi], cl
shld rax, rbx, 5
shrd rax, rbx, cl
xchg rax, rbx
xchg rbx, rcx
xchg [rdi], eax
xadd [rdi], eax
lock xadd [rdi], rax
lock cmpxchg [rdi], rbx
lock inc qword ptr [rip+counter]
cmpxchg16b [rdi]
bt rax, 5
bts qword ptr [rdi], 5
bsf rax, rbx
bsr eax, ecx
popcnt rax, rbx
bswap rax
bswap r10d
movzx eax, byte ptr [rdi]
movzx eax, al
movzx r8, cx
movsx rax, byte ptr [rdi]
movsx eax, word ptr [rdi]
movsxd rax, ecx
movsxd rax, dword ptr [rdi]
cdqe
cqo
cdq
sete al
setnz byte ptr [rdi]
cmovz rax, rbx
cmovnae ecx, [rdi]
rep movsb
rep stosq
repne scasb
repe cmpsb
rep movsd
movsd
stosb
lodsq
std
cld
clc
stc
syscall
int3
int 0x80
cpuid
rdtsc
rdtscp
hlt
nop
pause
ud2
leave
ret
ret 8
enter 16, 0
pushfq
popfq
pushf
popf
lahf
sahf
mfence
lfence
sfence
clflush [rdi]
prefetcht0 [rdi]
endbr64
call rax
call [rax]
call qword ptr [rip+counter]
jmp rax
jmp [rax*8+table]
jmp qword ptr [table+rax*8]
notrack jmp rax
movq xmm0, rax
movq rax, xmm1
movd xmm2, eax
movaps xmm0, [rdi]
movaps xmmword ptr [rdi], xmm1
movups xmm8, [rsp+16]
movdqu xmm0, [rsi]
movdqa [rdi], xmm15
movntdq [rdi], xmm0
movnti [rdi], rax
movss xmm0, [rdi]
movsd xmm0, [rdi]
movsd qword ptr [rdi], xmm3
addsd xmm0, xmm1
mulps xmm0, [rip+vec]
pxor xmm0, xmm0
pshufd xmm0, xmm1, 0x1b
cmpeqps xmm0, xmm1
cmpps xmm0, xmm1, 2
cvtsi2sd xmm0, rax
cvttsd2si rax, xmm0
ucomisd xmm0, [rdi]
fld qword ptr [rdi]
fild dword ptr [rdi]
fld st(1)
faddp
fstp qword ptr [rdi]
fxch
fninit
ldmxcsr [rdi]
fxsave [rdi]
mov ax, ds
crc32 eax, byte ptr [rdi]
in al, dx
out 0x80, al
xlatb
mov rax, 1 << 3 | 1
mov rax, (2 + 3) * 4
mov rax, 2 + 3 * 4
mov rax, -5 / 2
mov rax, ~7
mov rax, 'A'
mov al, '\\n'
mov rax, 0b101
mov rax, 0777
cmp rdx, LEN
mov rdx, LEN
mov rdx, LEN + 1
mov rdx, offset LEN
sub rax, LEN*2
"""


def test_every_intel_form_is_encoded_as_gnu_as_does(assembler: Assembler, tmp_path: Path) -> None:
    """A few hundred instructions and operand forms, byte for byte."""
    compare(assembler, INTEL, "intel", tmp_path)


ATT = """
fildq -16(%rsp)
movzb %al, %eax
movzb (%rax), %ecx
movzw (%rax), %ecx
movb $'a, %al
movb $'\\\\, %al
int $3
byte: nop
jmp byte
.data
msg: .asciz "hi\\101\\x41\\t"
.equ LEN, . - msg
counter: .quad 0
.text
.globl _start
_start:
movq $60, %rax
mov $60, %eax
movl $-1, %eax
movb $255, %al
movw $0x1234, (%rdi)
movl $5, 8(%rdi,%rcx,4)
movq counter(%rip), %rax
movq %rax, counter(%rip)
movq counter, %rbx
movq %fs:0x28, %rbx
movq %fs:(%rax), %rbx
movq (,%rax,8), %rcx
movq counter(,%rax,8), %rcx
movl -4(%rbp), %edx
leaq msg(%rip), %rsi
leaq (%rdi,%rdi,2), %rax
movq $msg, %rdi
movl $msg+1, %edi
movabsq $0x1122334455667788, %rax
pushq $5
pushq $0xffff
pushq $msg
pushq %rbp
push %rbx
pushq (%rax)
popq %rbp
addq $8, %rsp
subq $128, %rsp
andq $-16, %rsp
addl (%rbx), %eax
addl %eax, (%rbx)
incq counter(%rip)
decl (%rdi)
negl %eax
imulq %rbx, %rax
imulq $5, %rbx, %rax
imull $500, (%rbx), %eax
idivl %ecx
shlq $3, %rax
shll %cl, (%rdi)
sarq %rax
xorl %edi, %edi
testq %rax, %rax
testb $1, (%rdi)
cmpq $-4095, %rax
cmpb $0, (%rsi)
cmpl %eax, %ebx
movzbl (%rdi), %eax
movzbl %al, %eax
movzwl %cx, %edx
movzwq (%rdi), %rdx
movsbl (%rdi), %eax
movsbq %al, %rax
movswl (%rdi), %eax
movslq %ecx, %rax
movslq (%rdi), %rax
cltq
cqto
cltd
cwtl
sete %al
cmovzq %rbx, %rax
cmovlel (%rdi), %eax
xchgq %rax, (%rdi)
lock xaddl %eax, (%rdi)
lock cmpxchgq %rbx, (%rdi)
rep movsb
rep stosq
rep movsl
movsl
lodsl
repne scasb
syscall
leaveq
leave
retq
ret
callq *%rax
call *(%rax)
jmp *counter(%rip)
jmp *counter(,%rax,8)
call _start
jmp _start
movq %rax, %xmm0
movq %xmm0, %rax
movd %eax, %xmm1
movq (%rdi), %xmm0
movaps %xmm0, (%rdi)
movsd (%rdi), %xmm0
movsd %xmm0, 8(%rdi)
addsd %xmm1, %xmm0
pxor %xmm0, %xmm0
cvtsi2sdq %rax, %xmm0
cvtsi2sdl (%rdi), %xmm0
cvttsd2si %xmm0, %rax
cvttsd2siq (%rdi), %rax
fldl (%rdi)
flds (%rdi)
fstpt (%rdi)
fildl (%rdi)
outb %al, $0x80
bswapl %eax
bt $5, %rax
btsq $5, (%rdi)
movq $LEN, %rdx; movl $LEN*2, %ecx
pushfq
popfq
"""


def test_every_att_form_is_encoded_as_gnu_as_does(assembler: Assembler, tmp_path: Path) -> None:
    """Suffixes, operand order, AT&T names and semicolons between statements, byte for byte."""
    compare(assembler, ATT, "att", tmp_path)


BRANCHES = """
nop
.balign 8, 0x90
nop
.p2align 4, 0x90
.text
.globl _start
_start:
""" + "\n".join(
    f"""
1: jmp 2f
   j{cc} 1b
   call 1b
   .skip {skip}, 0x90
2: j{cc} 1b
   jmp 3f
   loop 2b
   jrcxz 2b
   .p2align {align}
3: jmp 1b
   jmp _start
   jmp end{skip}
   .skip {skip + 60}, 0xcc
end{skip}: jmp short 9f
   .balign 8
9: jmp .
"""
    for cc, skip, align in (("z", 0, 2), ("nae", 100, 4), ("g", 119, 4), ("pe", 120, 5), ("ns", 118, 3), ("o", 60, 6))
)


def test_branches_and_padding_take_the_sizes_gnu_as_chooses(assembler: Assembler, tmp_path: Path) -> None:
    """Short and long forms around the limit of 127 bytes, numeric labels, alignment with nops."""
    compare(assembler, BRANCHES, "intel", tmp_path)


DATA = r"""
.octa 0x112233445566778899aabbccddeeff00, -1, 5
.double .5, 1.5
.dc.b 1
.dc.w 2
.dc.l 3
.dc.a 4
.string8 "ab"
.fill 2, 8, 0x12345678
.byte 'x
.ifeqs "a","a"
.byte 1
.endif
.ifnes "a","a"
.byte 2
.endif
.equ A, 0x10
B = A + 2
.set C, 1
.section .rodata
r: .byte 1, -1, 255, 'a', A, B*2
.short 1, -1, 0xffff
.hword 2
.word 3
.long 1, -1, 0xffffffff, r + 4, e - r
.int 5
.quad 1, -1, 0xffffffffffffffff, r, e - r, . - r
.quad 1 << 2 + 1, 6 & 3 + 1, 7 | 8 ^ 3, -7 / 2, -7 % 3, ~5, -(2 + 3), 0x100 >> 4, 10 - 2 - 3, 2 * 3 % 4
.octa 5
.ascii "a", "b"
.asciz "tab\tquote\"back\\nl\n\101\0\x7f", "é"
.string "# not // a /* comment ; here"
.zero 3
.skip 2, 0xff
.space 1
.fill 3, 2, 0x1234
.fill 2
.balign 8
.align 16
.p2align 3, 0xcc
.byte 1
.p2align 4, , 3
.byte 2 # comment
.byte 4 /* comment */, 5 /* two
lines */
.byte 6
.set C, 2
.byte C
.set C, C + 1
.byte C
.float 1.5, -2
.double 0.1, 1e10
e:
.section more_data, "aw"
.quad r, u + 8
.data
d: .quad d, forward
forward = 77
.bss
u: .skip 100
.balign 64
v: .zero 8
.text
.globl _start
_start: mov eax, [rip + v]
lea rdi, [rip + u]
.section hot_code, "ax"
call _start
.previous
call hot
.section hot_code
hot: ret
.section .note.GNU-stack,"",@progbits
"""


def test_every_data_directive_gives_the_bytes_gnu_as_gives(assembler: Assembler, tmp_path: Path) -> None:
    """Integers, strings, fills, alignment, expressions and sections."""
    compare(assembler, DATA, "intel", tmp_path)
