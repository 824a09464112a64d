# COUNT times sfork(BYTES, FLAGS), exit, wait, munmap: laps before and after each sfork, and after the wait.

_start:
    mov ebx, COUNT
again:
    call load_lap
    syscall
    mov edi, BYTES
    mov esi, FLAGS
    lea rdx, [rip + region]
    mov eax, SYS_sfork
    syscall
    cmp rax, 0
    jl broken
    je exit
    mov edi, 1
    lea rsi, [rip + lap_byte]
    mov edx, 1
    mov eax, SYS_write
    syscall
    lea r15, [rip + waited]
    jmp quiet_wait
waited:
    mov eax, SYS_write
    syscall
    mov rdi, qword ptr [rip + region]
    mov esi, BYTES
    mov eax, SYS_munmap
    syscall
    cmp rax, 0
    jl broken
    dec rbx
    jnz again
    jmp exit

.bss
region: .zero 8
.text
