# COUNT times getppid(2).

_start:
    mov rbx, COUNT
    call lap
again:
    mov eax, SYS_getppid
    syscall
    dec rbx
    jnz again
    call lap
    jmp exit
