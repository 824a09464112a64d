# Why does the reader never see the end of its pipe? It inherited the writing end over fork, and keeps it open.

.text
_start:
    lea rdi, [rip + ends]
    mov eax, SYS_pipe
    syscall
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz reader
    mov edi, [rip + ends + 4]
    lea rsi, [rip + ends]
    mov edx, 1
    mov eax, SYS_write
    syscall
    mov edi, [rip + ends + 4]
    mov eax, SYS_close              # no more will come
    syscall
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
reader:
    mov edi, [rip + ends]
    lea rsi, [rip + letter]
    mov edx, 1
    xor eax, eax                    # SYS_read
    syscall
    test eax, eax
    jnz reader
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.bss
.balign 8
ends:
    .zero 8
letter:
    .zero 1
