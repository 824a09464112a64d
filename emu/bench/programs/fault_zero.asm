# The first read of every page of fresh memory.

_start:
    mov rdi, 0
    call map
    mov r12, rax
    call lap
    mov rdi, r12
    call read_pages
    call lap
    jmp exit
