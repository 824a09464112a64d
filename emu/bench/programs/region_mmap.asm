
# Anonymous shared memory with the mmap flags FLAGS.
region:
    mov rdi, 0
    mov rsi, BYTES
    mov rdx, PROT_READ | PROT_WRITE
    mov r10, MAP_ANONYMOUS | FLAGS
    mov r8, -1
    mov r9, 0
    mov eax, SYS_mmap
    syscall
    cmp rax, -4096
    ja broken
    ret
