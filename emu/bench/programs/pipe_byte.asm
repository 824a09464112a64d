# COUNT times a byte into a pipe and out of it again, by one process.

_start:
    mov eax, SYS_pipe
    lea rdi, [rip + ends]
    syscall
    test rax, rax
    jnz broken
    mov r12d, [rip + ends]
    mov r13d, [rip + ends + 4]
    lea r14, [rip + letter]
    mov rbx, COUNT
    call lap
again:
    mov eax, SYS_write
    mov edi, r13d
    mov rsi, r14
    mov edx, 1
    syscall
    mov eax, SYS_read
    mov edi, r12d
    mov rsi, r14
    mov edx, 1
    syscall
    dec rbx
    jnz again
    mov rbp, rax
    call lap
    cmp rbp, 1
    jne wrong
    jmp exit

.data
letter: .byte 65
.align 8
ends: .zero 8
.text
