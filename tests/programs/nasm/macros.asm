; %macro with parameters and local labels, %define with arguments, %assign, %rep, %if, %ifdef.
; EXPECT exit == 17
%define STDOUT 1
%define twice(x) ((x) * 2)
%assign letters 0

%macro write 2
        mov eax, SYS_write
        mov edi, STDOUT
        lea rsi, [rel %1]
        mov edx, %2
        syscall
%endmacro

%macro exit 1
        mov edi, %1
        mov eax, SYS_exit_group
        syscall
%endmacro

%macro repeat 2                         ; register, times: doubles rax so often
        mov %1, %2
%%again:
        add rax, rax
        dec %1
        jnz %%again
%endmacro

%macro save 0
        push rax
        push rcx
%endmacro

section .rodata
text:   db "macros "
%rep 6
        db 'a' + letters
%assign letters letters + 1
%endrep
        db 10
text_length equ $ - text

section .text
global _start
_start:
        write text, text_length
%ifdef UNKNOWN
        exit 99
%elif letters == 6
        mov eax, 1
        repeat rcx, 3
        repeat rbx, 1
        save
        pop rcx
        pop rdi
        exit twice(5 + 3) + 1           ; 17
%else
        exit 98
%endif
