
# A System V segment, to be gone with its last user.
region:
    mov rdi, IPC_PRIVATE
    mov rsi, BYTES
    mov rdx, IPC_CREAT | 0600
    mov eax, SYS_shmget
    syscall
    cmp rax, 0
    jl broken
    mov r12, rax
    mov rdi, rax
    mov rsi, 0
    mov rdx, 0
    mov eax, SYS_shmat
    syscall
    cmp rax, -4096
    ja broken
    mov r13, rax
    mov rdi, r12
    mov rsi, IPC_RMID
    mov rdx, 0
    mov eax, SYS_shmctl
    syscall
    cmp rax, 0
    jl broken
    mov rax, r13
    ret
