# The loop of syscall.asm on the bare engine; hlt stops it.

_start:
    mov rbx, COUNT
again:
    mov eax, SYS_getppid
    syscall
    dec rbx
    jnz again
    hlt
