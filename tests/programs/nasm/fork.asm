; System calls, structures and constants by name: a child writes into a shared page, the parent waits and reads it.
; EXPECT exit == 47
default rel
%define FIRST 0
%define SECOND 8

section .bss
status: resd 1

section .data
template:
        dq 40
        dd 2
        align 16, db 0
.size   equ $ - template

section .text
global _start
_start: mov eax, SYS_mmap
        xor edi, edi
        mov esi, 4096
        mov edx, PROT_READ | PROT_WRITE
        mov r10d, MAP_SHARED | MAP_ANONYMOUS
        mov r8, -1
        xor r9d, r9d
        syscall
        cmp rax, -4096
        ja .failed
        mov rbx, rax
        mov eax, SYS_fork
        syscall
        test rax, rax
        jnz .parent
        mov rax, [template + FIRST]
        mov [rbx + FIRST], rax
        mov eax, dword [template + SECOND]
        mov [rbx + SECOND], eax
        mov eax, SYS_exit_group
        mov edi, 5
        syscall
.parent:
        mov edi, eax
        lea rsi, [status]
        xor edx, edx
        xor r10d, r10d
        mov eax, SYS_wait4
        syscall
        movzx edi, byte [status + 1]
        add rdi, [rbx + FIRST]
        add edi, [rbx + SECOND]
        add edi, template.size - 16
        mov eax, SYS_exit_group
        syscall                         ; 5 + 40 + 2
.failed:
        mov edi, 1
        mov eax, SYS_exit_group
        syscall
