; db, dw, dd, dq, times, strings in three kinds of quotes, floats, resb to resq; the sum of all bytes is the status.
; EXPECT exit == 15
bits 64
default rel

section .data
start:
bytes:  db 1, 2, 3, "abc", "it's", `tab\tnewline\n\x41\0`, -1, 255
words:  dw 0x1234, 'ab', 'c', -2
dwords: dd 0x12345678, 'abcd', 1.5, -3
qwords: dq 0x123456789abcdef0, 'abcdefgh', 2.25, -4, words - bytes, words, $$, $
        times 5 db 7
        times 3 dw 0x0101, 2
        times 32 - ($ - start) % 32 db 0xee
        align 16
here:   db "the end"
end:

section .bss
b:      resb 3
w:      resw 2
d:      resd 1
q:      resq 2
past:

section .text
global _start
_start:
        lea rsi, [start]
        xor edi, edi
        xor eax, eax
.sum:   lodsb
        add edi, eax
        lea rdx, [end]
        cmp rsi, rdx
        jb .sum
        mov [b], dil
        mov word [w + 2], di
        mov dword [d], edi
        mov qword [q + 8], rdi
        mov rdx, past - b               ; 3 + 4 + 4 + 16, without padding in between
        push rdi
        push rdx
        mov eax, SYS_write
        mov edi, 1
        lea rsi, [start]
        mov edx, words - start
        syscall
        pop rdx
        pop rdi
        add edi, edx
        movzx edi, dil
        mov eax, SYS_exit_group
        syscall
