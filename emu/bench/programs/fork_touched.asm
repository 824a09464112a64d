# COUNT times fork, exit, wait with BYTES written to page by page; two laps around them all.

_start:
    mov rdi, 0
    call map
    mov rdi, rax
    call write_pages
    mov rbx, COUNT
    call lap
again:
    mov rax, FORK
    syscall
    cmp rax, 0
    jl broken
    je exit
    call wait
    dec rbx
    jnz again
    call lap
    jmp exit
