# Why is a table gone that mremap has just made bigger? It had to move, and the old pointer was kept.

.text
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    xor edi, edi
    mov esi, 4096                   # a second table, below the first
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    mov eax, SYS_mmap
    syscall
    mov rdi, rax
    mov rbx, rax
    mov qword ptr [rbx], 42
    mov esi, 4096
    mov edx, 1 << 20
    mov r10d, MREMAP_MAYMOVE
    mov eax, SYS_mremap
    syscall
    mov rdi, [rbx]                  # should be [rax]
    mov eax, SYS_exit_group
    syscall
