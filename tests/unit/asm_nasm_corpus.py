"""NASM source for test_asm_nasm: every form that is accepted, most of them a line each."""

INSTRUCTIONS = """
section .data
msg: db "hello", 10
LEN equ $ - msg
counter dq 0
table: dq msg, counter
section .text
global _start
_start:
mov rax, dword 5
mov rax, qword 5
mov rax, dword msg
mov [rdi], byte 5
mov [rdi], dword msg
add [rdi], word 5
cmp [rdi], byte 'a'
add rax, byte 5
push word 5
push word 0x1234
push byte -1
push dword 5
movsx rax, dword [rbx]
mov eax, __float32__(1.5)
mov rax, __?float64?__(-2.25)
mov eax, $eax
mov eax, [$byte]
mov eax, !5
mov eax, -!0
mov ds, ax
int 3
$eax: dd 1
$byte dd 2
mov rax, 60
mov rax, 0
mov rax, -1
mov rax, 0x7fffffff
mov rax, 0x80000000
mov rax, 0xffffffff
mov rax, 0x100000000
mov rax, -0x80000000
mov rax, -0x80000001
mov rax, 0xffffffffffffffff
mov rax, 0xffffffff80000000
mov r8, 5
mov r15, -5
mov r12, 0x123456789a
mov eax, 60
mov eax, -1
mov ax, 0x1234
mov al, 255
mov r8b, 127
mov ah, 5
mov rax, rbx
mov rsi, msg
mov rax, msg + 2
mov r9, msg
mov esi, msg
mov rdx, LEN
mov rdx, LEN * 2 + 1
mov qword [rdi], msg
push msg
push LEN
mov rbx, [0x1000]
mov rax, [0x1000]
mov eax, [counter]
mov al, [counter]
mov [counter], rax
mov rbx, [counter]
mov rbx, [rel counter]
mov rbx, [abs counter]
lea rsi, [msg]
lea rsi, [rel msg]
lea rsi, [rel msg + 4]
mov rax, [table + rdi*8]
mov rax, [rdi*8 + table]
mov rbx, [fs:0x28]
mov rax, [fs:0]
mov rax, [gs:rax + 8]
mov [fs:0x10], rax
mov rax, [rbx]
mov rax, [rbx + rcx*8 + 0x10]
mov rax, [rbx + rcx*8 - 0x10]
mov rax, [rcx*8]
mov rax, [rcx*8 + 0x12345]
mov rax, [rcx*4]
mov rax, [rcx*2]
mov rax, [rcx*2 + 8]
mov rax, [rcx*1]
mov rax, [rcx*3]
mov rax, [rcx*5 + 1]
mov rax, [rcx*9]
mov rax, [rsp]
mov rax, [rsp + 8]
mov rax, [rsp + rax]
mov rax, [rax + rsp]
mov rax, [rbp]
mov rax, [rbp + rax]
mov rax, [rax + rbp]
mov rax, [rbp + r13]
mov rax, [r13 + rbp]
mov rax, [r13 + rbx]
mov rax, [rbx + r13]
mov rax, [r13 + rbx*1]
mov rax, [r12]
mov rax, [r13]
mov rax, [r12 + 8]
mov rax, [rbx + 127]
mov rax, [rbx + 128]
mov rax, [rbx - 128]
mov rax, [rbx - 129]
mov rax, [rbx + (4*2) - 1]
mov rax, [8 + rbx]
mov eax, [eax]
mov eax, [r8d + ecx*2 + 4]
mov byte [rdi], 7
mov word [rdi], 0x1234
mov dword [rdi], -1
mov qword [rdi], -1
mov byte [rdi + 8], 'a'
mov dword [counter], 5
mov dword [rel counter], 5
lea rax, [rbx + rcx*2]
lea rax, [rdi - 1]
push rax
push r12
push 5
push 127
push 128
push -1
push -128
push -129
push 0xffff
push 0x7fffffff
push qword [rax]
push qword 5
push fs
pop rbx
pop r15
pop qword [rax]
add rax, 5
add rax, 127
add rax, 128
add rax, -128
add rax, -129
add eax, 0x12345
add eax, 0xfffffff0
add ax, 5
add ax, 0x1000
add al, 5
add rax, [rbx]
add [rbx], rax
add dword [rbx], 1000
add qword [rbx], 8
add rbx, 1000
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
cmp byte [rsi], 0
cmp rax, rbx
cmp rax, [rbx]
test rax, rax
test al, 1
test eax, 0x100
test byte [rdi], 1
test rbx, [rcx]
test [rcx], rbx
inc rax
inc byte [rdi]
dec dword [rdi]
neg rcx
not r8
mul rbx
imul rbx
imul rax, rbx
imul rax, rbx, 5
imul rax, rbx, 500
imul rax, 5
imul rax, 500
imul rax, [rbx], 12
div rcx
idiv qword [rbx]
shl rax, 1
shl rax, 12
shr eax, cl
sar rcx, 63
sal rcx, 2
rol byte [rdi], 3
shl dword [rdi], cl
shld rax, rbx, 5
shrd rax, rbx, cl
xchg rax, rbx
xchg rbx, rax
xchg rbx, rcx
xchg al, bl
xchg cl, dl
xchg ecx, edx
xchg r8, r9
xchg [rdi], eax
xchg eax, [rdi]
xadd [rdi], eax
lock xadd [rdi], rax
lock cmpxchg [rdi], rbx
lock inc qword [rel counter]
lock add [rdi], eax
cmpxchg16b [rdi]
bt rax, 5
bts qword [rdi], 5
bsf rax, rbx
bsr eax, ecx
popcnt rax, rbx
bswap rax
bswap r10d
movzx eax, byte [rdi]
movzx eax, al
movzx r8, cx
movsx rax, byte [rdi]
movsx eax, word [rdi]
movsxd rax, ecx
movsxd rax, dword [rdi]
cbw
cwde
cdqe
cqo
cdq
sete al
setnz byte [rdi]
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
lahf
sahf
mfence
lfence
sfence
clflush [rdi]
prefetcht0 [rdi]
endbr64
xlatb
call rax
call [rax]
call qword [counter]
call [rel counter]
jmp rax
jmp [table + rax*8]
movq xmm0, rax
movq rax, xmm1
movd xmm2, eax
movaps xmm0, [rdi]
movaps [rdi], xmm1
movups xmm8, [rsp + 16]
movdqu xmm0, [rsi]
movdqa [rdi], xmm15
movss xmm0, [rdi]
movsd xmm0, [rdi]
movsd [rdi], xmm3
movsd xmm0, xmm1
movaps xmm0, xmm1
addsd xmm0, xmm1
mulps xmm0, [rel table]
pxor xmm0, xmm0
pshufd xmm0, xmm1, 0x1b
cmpeqps xmm0, xmm1
cvtsi2sd xmm0, rax
cvttsd2si rax, xmm0
ucomisd xmm0, [rdi]
fld qword [rdi]
fld dword [rdi]
fld tword [rdi]
fild dword [rdi]
fld st1
faddp
fstp qword [rdi]
fxch
fxch st2
fadd st0, st1
fninit
ldmxcsr [rdi]
mov ax, ds
mov rax, cr0
in al, dx
out 0x80, al
crc32 eax, byte [rdi]
mov rax, 1 << 3 | 1
mov rax, 1 << 2 + 1
mov rax, (2 + 3) * 4
mov rax, 7 / 2
mov rax, 7 % 4
mov rax, -7 // 2
mov rax, -7 %% 4
mov rax, ~7
mov rax, !5
mov rax, !0
mov rax, 3 == 3
mov rax, 3 < 2
mov rax, 3 <> 2
mov rax, 2 && 3
mov rax, 0 || 0
mov rax, 6 & 3 | 8 ^ 1
mov rax, 'A'
mov eax, 'abcd'
mov al, `\\n`
mov rax, 0b101
mov rax, 101b
mov rax, 17q
mov rax, 0o17
mov rax, 17o
mov rax, 10h
mov rax, 0ffh
mov rax, $0ff
mov rax, 0x1_000
mov rax, 1_000
mov rax, 10d
mov rax, 010
mov rax, $ - $$
mov eax, $$ - _start
MOV RAX, QWORD [RBX]
"""


DATA = r"""
section .rodata
a: db 1, -1, 255, 'a', "b"
db "say 'x'", `tab\tnl\n\x41\0`, 10, 0
db "back\slash", 'abc', 0
dw 1, 'a', 'abc', 0xffff
dd 1, 'abcd', 'abcde', -1, 1.5, -2.25, 1e3
dq 1, 'x', 0.1, -1.5e10, 0xffffffffffffffff, a, $ - a, $, $$
dq a, $, $ - $$
dt 1.0, -0.5, 3.141592653589793, 0.1, 1e100, 0.0
x db 1
.y: db 2
.z db 3
  dw a.end - a, x.y - x, .z - x
a.end:
times 3 db 0xcc
times 2 dw 1, 2
times 2 db 'ab', 0
times 64 - ($ - a.end) db 1
times 2 dq 7
times 2 * 2 db 9
align 8
db 1
align 16, db 0xff
db 2
alignb 8
db 3
BIG equ 1 << 20
SUM equ BIG + 2
dd BIG, SUM, LATER
LATER equ 77
_under.score? db 1
$rax_like db 2
UPPER: DB 3
section .data
d: dq a, d, d.end - d
.end:
resb 2
buffer times 4 db 0
section .mine write
dd 3
section .plain
dd 4
[section .data]
dd 5
section .bss
u: resb 100
resw 2
resd 2
resq 2
rest 1
reso 1
alignb 64
v resq 1
times 3 resb 2
section .hot exec
call f
section .text
global _start
_start:
bits 64
default rel
mov eax, [v]
mov eax, [rel v]
mov eax, [abs v]
mov rax, [0x1000]
mov rax, [fs:0x28]
mov rax, [fs:v]
mov rax, [gs:u + 8]
mov rax, [u + rdi]
lea rdi, [u]
default abs
mov eax, [v]
f: nop
.loop:
dec ecx
jnz .loop
jmp f.loop
jmp short .done
jmp near .done
call f
jmp g
loop .loop
jrcxz .done
.done ret
g:
.loop: jmp .loop
nop
times 5 nop
times 2 inc eax
lone
jmp lone
times 200 nop
jz g.loop
jmp g
lock
inc dword [rdi]
mov ecx, lone - g
add ecx, lone - g
align 16
nop
times 64 - ($ - $$) % 64 db 0x90
jmp $
jmp $ + 2
call $ + 5
rep ret
"""


PREPROCESSOR = r"""
%define EXIT 60
%define ADD2(x, y) ((x) + (y))
%define TWICE(x) ADD2(x, x)
%define ptr_of rdi
%xdefine OLD EXIT
%define EXIT 61
%idefine Mixed 7
%assign count 0
%define EMPTY
%define paste(a, b) a %+ b
section .text
global _start
_start:
mov eax, EXIT
mov eax, OLD
mov ecx, ADD2(1, 2)
mov ecx, TWICE(ADD2(1, 3))
mov rax, [ptr_of + 8]
mov eax, MIXED
paste(in, c) eax
%rep 4
db count
%assign count count + 1
%endrep
%rep 100
%if count >= 7
%exitrep
%endif
db count
%assign count count + 1
%endrep
%macro exit 1
mov edi, %1
mov eax, EXIT
syscall
%endmacro
%macro print 2-3 1
mov rdi, %3
mov rsi, %1
mov rdx, %2
%endmacro
%macro wait_for 1
%%again:
dec %1
jnz %%again
%endmacro
%macro save 1-*
%rep %0
push %1
%rotate 1
%endrep
%endmacro
%macro restore 1-*
%rep %0
%rotate -1
pop %1
%endrep
%endmacro
%macro text 2+
%1: db %2
db %0
%endmacro
%macro over 0
nop
%endmacro
%macro over 1
mov eax, %1
%endmacro
%macro outer 1
over
over %1
exit %1 + 1
%endmacro
%imacro AnyCase 0
cld
%endmacro
%macro early 1
%if %1
%exitmacro
%endif
std
%endmacro
%macro braces 2
db %1, %2, %{1}
%endmacro
exit 3
print 5, 6
print 5, 6, 2
wait_for ecx
wait_for rdx
save rax, rbx, r12
restore rax, rbx, r12
text hello, "a", 'b', 10
over
over 5
outer 9
anycase
lab: exit 1
jmp lab
early 1
early 0
braces {1, 2}, 3
%ifdef EXIT
db 1
%else
db 2
%endif
%ifndef EXIT
db 3
%elifdef OLD
db 4
%else
db 5
%endif
%if EXIT == 61 && count > 2
db 6
%elif 1
db 7
%endif
%if 0
garbage ' here )(
%if 1
%endif
%else
db 8
%endif
%ifidn abc, abc
db 9
%endif
%ifnidn abc, abd
db 10
%endif
%ifidni ABC, abc
db 11
%endif
%ifnum 5
db 12
%endif
%ifid eax
db 13
%endif
%ifstr 'x'
db 14
%endif
%ifempty EMPTY
db 15
%endif
%ifmacro exit
db 16
%endif
%undef EXIT
%ifdef EXIT
db 17
%endif
%strlen size 'hello'
db size
%substr one 'hello' 2
db one
%substr some 'hello' 2, 3
db some
%macro return_if 1
j%-1 %%on
j%+1 %%on
ret
%%on:
%endmacro
return_if z
return_if nbe
return_if PO
dd __LINE__
db 3 dup (1, 2), 9
dw 2 dup (2 dup (?), 7)
db 2 dup 5, 2 dup ('ab')
db `\e[1m\a\u263a\U0001f600\\u0041\``
[section .data]
db 1
__SECT__
nop
%strcat both 'ab', 'cd'
db both
%defstr made some text
db made
%ifidn __OUTPUT_FORMAT__, elf64
db 18
%endif
mov eax, \
    5 ; joined
db ';', "%1" ; a comment
%line 5
struc point
.x: resq 1
.y: resq 1
.tag: resb 3
endstruc
struc later, 8
l_a resd 1
l_b resw 1
endstruc
mov rax, [rdi + point.y]
mov eax, point_size
mov eax, later_size
mov eax, l_b
instance:
istruc point
at point.x, dq 5
at point.y, dq 6
iend
"""
