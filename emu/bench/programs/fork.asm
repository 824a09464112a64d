# COUNT times fork, exit, wait with BYTES present: laps before and after each fork, and at the end. Then COUNT times
# with the child run to its end before the parent waits: laps of the child before its exit, of the parent after that,
# and after the wait. Nobody touches the stack between fork and exit: the child has written to nothing.

_start:
    mov rdi, MAP_POPULATE
    call map
    mov ebx, COUNT
    call load_lap
again:
    mov eax, SYS_write
    syscall
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je exit
    mov eax, SYS_write
    syscall
    lea r15, [rip + waited]
    jmp quiet_wait
waited:
    dec rbx
    jnz again
    mov eax, SYS_write
    syscall
    mov ebx, COUNT
apart:
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je child
    mov eax, SYS_sched_yield
    syscall
    mov eax, SYS_write
    syscall
    lea r15, [rip + waited_apart]
    jmp quiet_wait
waited_apart:
    mov eax, SYS_write
    syscall
    dec rbx
    jnz apart
    jmp exit
child:
    mov eax, SYS_write
    syscall
    jmp exit
