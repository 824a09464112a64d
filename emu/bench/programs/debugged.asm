# What `emu bench debug` runs: arithmetic and stores with a system call now and then, and a null pointer at the end.

_start:
    lea rbx, [rip + cell]
    mov r12d, 2000000
again:
    mov rax, [rbx]
    add rax, r12
    mov [rbx], rax
    xor rdx, rax
    test r12d, 1023
    jnz next
    mov eax, SYS_getppid
    syscall
next:
    dec r12d
    jnz again
    xor ebx, ebx
    mov rax, [rbx + 8]

.data
cell: .quad 0
