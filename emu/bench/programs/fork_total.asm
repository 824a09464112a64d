# For each share of TABLES * 2 MiB: fork, the child writes to so many of the pages and exits, wait; laps around it.
# The child goes STEP bytes from page to page, round and round.

_start:
    call map_tables
    lea r14, [rip + shares]
    mov ebx, 8
again:
    call lap
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je child
    call wait
    call lap
    add r14, 8
    dec rbx
    jnz again
    jmp exit

child:
    mov rcx, qword ptr [r14]
    mov rdi, r12
    lea rsi, [r12 + TABLES * TABLE]
    test rcx, rcx
    jz exit
touch:
    mov byte ptr [rdi], 2
    add rdi, STEP
    cmp rdi, rsi
    jb inside
    sub rdi, TABLES * TABLE - 4096
inside:
    dec rcx
    jnz touch
    jmp exit

.rodata
.equ PAGES, TABLES * 512
shares: .quad 0, PAGES / 100, PAGES * 5 / 100, PAGES / 10, PAGES / 4, PAGES / 2, PAGES * 3 / 4, PAGES
.text
