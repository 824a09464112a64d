# The first write to every page of fresh memory.

_start:
    mov rdi, 0
    call map
    mov r12, rax
    call lap
    mov rdi, r12
    call write_pages
    call lap
    jmp exit
