# COUNT times fork, exit, wait with BYTES present; laps before and after each fork, and at the end.

_start:
    mov rdi, MAP_POPULATE
    call map
    mov rbx, COUNT
again:
    call lap
    mov rax, FORK
    syscall
    cmp rax, 0
    jl broken
    je exit
    call lap
    call wait
    dec rbx
    jnz again
    call lap
    jmp exit
