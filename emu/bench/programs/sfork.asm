# PROCESSES processes share BYTES, which the source behind this one makes (`region`, rax = address); each touches them
# as the next one says (`touch`); the first waits for the others. Laps around it all.

_start:
    call lap
    call region
    mov r12, rax
    mov r14, PROCESSES - 1
more:
    mov eax, SYS_fork
    syscall
    cmp rax, 0
    jl broken
    je other
    dec r14
    jnz more
    call touch                  # r12 = the memory, r14 = number of the process, 0 for the first
    mov ebx, PROCESSES - 1
others:
    call wait
    cmp rax, 0
    jl broken
    dec rbx
    jnz others
    call lap
    jmp exit
other:
    call touch
    jmp exit
