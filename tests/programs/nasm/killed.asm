; Constants cannot be written to: the program dies of SIGSEGV behind its first line of output.
; EXPECT signal == 11
section .rodata
text:   db "about to fail", 10
.end:

section .text
global _start
_start: mov eax, SYS_write
        mov edi, 1
        lea rsi, [rel text]
        mov edx, text.end - text
        syscall
        mov byte [rel text], 'A'
        mov eax, SYS_exit_group
        xor edi, edi
        syscall
