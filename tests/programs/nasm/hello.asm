; The classic: sections, db with a string and a number, equ, $.
; EXPECT exit == 0
        section .data
message db "Hello from NASM", 10
length  equ $ - message

        section .text
        global _start
_start:
        mov     rax, SYS_write
        mov     rdi, 1
        mov     rsi, message
        mov     rdx, length
        syscall
        mov     eax, SYS_exit_group
        xor     edi, edi
        syscall
