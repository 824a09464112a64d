
# A file without a name.
region:
    lea rdi, [rip + name]
    mov rsi, O_RDWR | O_CREAT | O_EXCL
    mov rdx, 0600
    mov eax, SYS_open
    syscall
    cmp rax, 0
    jl broken
    mov r12, rax
    lea rdi, [rip + name]
    mov eax, SYS_unlink
    syscall
    cmp rax, 0
    jl broken
    mov rdi, r12
    mov rsi, BYTES
    mov eax, SYS_ftruncate
    syscall
    cmp rax, 0
    jl broken
    mov rdi, 0
    mov rsi, BYTES
    mov rdx, PROT_READ | PROT_WRITE
    mov r10, MAP_SHARED
    mov r8, r12
    mov r9, 0
    mov eax, SYS_mmap
    syscall
    cmp rax, -4096
    ja broken
    mov r13, rax
    mov rdi, r12
    mov eax, SYS_close
    syscall
    mov rax, r13
    ret

.rodata
name: .asciz "/tmp/emu-bench"
.text
