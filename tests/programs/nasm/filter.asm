; Reads standard input and writes it in capitals; a table of functions, string instructions, SSE2.
; EXPECT exit == 255
default rel
SIZE equ 4096
LOWER equ 'a'

section .data
align 8
handlers: dq keep, capital
class:  times LOWER db 0
        times 26 db 1
        times 256 - ($ - class) db 0

section .bss
alignb 16
buffer: resb SIZE
mask:   resq 2

section .text
global _start
keep:   ret
capital:
        and al, ~0x20
        ret

_start: mov eax, SYS_read
        xor edi, edi
        lea rsi, [buffer]
        mov edx, SIZE
        syscall
        test rax, rax
        jle .end
        mov r12, rax
        cld
        lea rsi, [buffer]
        mov rdi, rsi
        lea rbx, [class]
        lea r13, [handlers]
        mov rcx, r12
.byte:  lodsb
        movzx edx, al
        movzx edx, byte [rbx + rdx]
        call [r13 + rdx*8]
        stosb
        dec rcx
        jnz .byte
        movdqa xmm0, [buffer]
        pxor xmm1, xmm1
        pcmpeqb xmm0, xmm1
        movdqu [mask], xmm0
        mov eax, SYS_write
        mov edi, 1
        lea rsi, [buffer]
        mov rdx, r12
        syscall
        jmp _start
.end:   mov eax, SYS_exit_group
        movzx edi, byte [mask + 15]     ; 255: less than 16 bytes came
        syscall
