# COUNT rounds of one byte there and one byte back between two processes over two pipes.

_start:
    mov rax, SYS_pipe
    lea rdi, [rip + there]
    syscall
    mov rax, SYS_pipe
    lea rdi, [rip + back]
    syscall
    mov rbx, COUNT
    mov rax, SYS_fork
    syscall
    cmp rax, 0
    jl broken
    je child
    call lap
parent_again:
    mov edi, dword ptr [rip + there + 4]
    call put
    mov edi, dword ptr [rip + back]
    call take
    dec rbx
    jnz parent_again
    call lap
    call wait
    jmp exit
child:
    mov edi, dword ptr [rip + there]
    call take
    mov edi, dword ptr [rip + back + 4]
    call put
    dec rbx
    jnz child
    jmp exit

put:
    mov eax, SYS_write
    jmp move
take:
    mov eax, SYS_read
move:
    lea rsi, [rip + moved]
    mov rdx, 1
    syscall
    cmp rax, 1
    jne broken
    ret

.bss
there: .zero 8
back: .zero 8
moved: .zero 8
.text
