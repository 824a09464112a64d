# Why does a page of a mapped file raise SIGBUS that could be read before? The file was made shorter.

.text
_start:
    lea rdi, [rip + name]
    xor esi, esi
    mov eax, SYS_memfd_create
    syscall
    mov r12d, eax
    mov esi, 8192
    call resize
    xor edi, edi
    mov esi, 8192
    mov edx, PROT_READ
    mov r10d, MAP_SHARED
    mov r8d, r12d
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov al, [rbx + 4096]            # can be read
    mov esi, 4096
    call resize
    mov al, [rbx + 4096]            # behind the end now
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

resize:
    mov edi, r12d
    mov eax, SYS_ftruncate
    syscall
    ret

.data
name:
    .asciz "data"
