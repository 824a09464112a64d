# After fork(2) the child writes to every page (laps 0, 1), and when it is gone the parent does (laps 2, 3).

_start:
    mov rdi, MAP_POPULATE
    call map
    mov r12, rax
    mov rax, SYS_fork
    syscall
    test rax, rax
    jz child
    call wait
    call lap
    mov rdi, r12
    call write_pages
    call lap
    jmp exit
child:
    call lap
    mov rdi, r12
    call write_pages
    call lap
    jmp exit
