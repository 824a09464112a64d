# COUNT times: fork with TABLES * 2 MiB written. The child makes single accesses in the first HALF tables, a lap behind
# each: a write to each table, LATER more writes to each, a read from each. When it is gone the parent laps HALF
# times with nothing in between, and then writes to each of the tables behind, which only it uses now.

_start:
    call map_tables
    mov ebx, COUNT
again:
    call load_lap
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je child
    lea r15, [rip + waited]
    jmp quiet_wait
waited:
    mov eax, SYS_write
    syscall
    mov ebp, HALF
nothing:
    mov eax, SYS_write
    syscall
    dec ebp
    jnz nothing
    lea r13, [r12 + HALF * TABLE]
    lea r14, [r12 + TABLES * TABLE]
reuse:
    mov byte ptr [r13], 2
    mov eax, SYS_write
    syscall
    add r13, TABLE
    cmp r13, r14
    jb reuse
    dec rbx
    jnz again
    jmp exit

child:
    mov eax, SYS_write
    syscall
    lea r14, [r12 + HALF * TABLE]
    mov r13, r12
first:
    mov byte ptr [r13], 2
    mov eax, SYS_write
    syscall
    add r13, TABLE
    cmp r13, r14
    jb first
    mov r13, r12
later:
    mov ebp, LATER
    mov r15, r13
later_next:
    add r15, 28672              # every seventh page
    mov byte ptr [r15], 2
    mov eax, SYS_write
    syscall
    dec ebp
    jnz later_next
    add r13, TABLE
    cmp r13, r14
    jb later
    lea r13, [r12 + 4096]
    add r14, 4096
read:
    mov r15b, byte ptr [r13]
    mov eax, SYS_write
    syscall
    add r13, TABLE
    cmp r13, r14
    jb read
    jmp exit
